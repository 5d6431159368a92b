//! HTTP routes: they translate, nothing else.
