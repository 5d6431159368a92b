//! What a connector is: operations, calls with holes, manifests. Pure.
