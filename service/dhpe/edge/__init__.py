"""Everything asynchronous or external: wire, logs, formats, HTTP, metrics."""
