"""One filter expression, asked of every store: the spanset filter of TraceQL, compiled to SQL, TraceQL and Elasticsearch."""

from analytics.filters.parse import FilterError, parse
from analytics.filters.syntax import Filter

__all__ = ["Filter", "FilterError", "parse"]
