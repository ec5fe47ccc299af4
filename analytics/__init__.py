"""The readers: stores, the join, the questions. Never imports serve or deployments, nor torch or ray."""
