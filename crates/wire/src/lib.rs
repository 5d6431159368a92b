//! The one place that opens sockets to providers.
