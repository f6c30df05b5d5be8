"""The rows of the table, a file a topic; ``ROWS`` of each names its generators of contests."""
