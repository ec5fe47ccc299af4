"""The front door: requests in, jobs run, answers out. The DAG is wired in `serve.app` and nowhere else."""
