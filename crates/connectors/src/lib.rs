//! The connectors, one folder a provider. Pure.
