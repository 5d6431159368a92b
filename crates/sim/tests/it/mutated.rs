//! Every bug that can be put in is found, each within its number of orders.

use baton_sim::Kit;
use baton_sim::mutations::{MUTATIONS, hunt};

#[test]
fn every_bug_is_found() {
    let kit = Kit::new(baton_connectors::all().unwrap()).unwrap();
    for mutation in MUTATIONS {
        let hunt = hunt(&kit, mutation, 1).unwrap();
        assert!(hunt.found.is_some(), "{} was not found within {}", mutation.name, hunt.orders);
    }
}
