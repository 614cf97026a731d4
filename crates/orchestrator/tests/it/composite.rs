//! The composite.

use std::sync::Arc;

use spanwise_orchestrator::{Caps, Composite, Orchestrator, Recorder};
use spanwise_testkit::conformance::{guard_for, replicas};

use crate::target;

#[tokio::test]
async fn each_target_goes_to_the_backend_it_names() {
    let (blue, green) = (Arc::new(Recorder::new("blue", 1)), Arc::new(Recorder::new("green", 4)));
    let both = Composite::new(vec![
        Arc::clone(&blue) as Arc<dyn Orchestrator>,
        Arc::clone(&green) as Arc<dyn Orchestrator>,
    ]);
    let target = target("green", "", "cart");
    let state = both.observe(&target).await.unwrap();
    assert_eq!(state.desired, 4);
    assert!(both.caps(&target).contains(Caps::HORIZONTAL));
    both.apply(&target, &replicas(4, 5), &guard_for(&state)).await.unwrap();
    assert_eq!((blue.history().len(), green.history().len()), (0, 1));
}

#[tokio::test]
async fn an_unknown_backend_is_refused_with_the_known_ones() {
    let composite = Composite::new(vec![Arc::new(Recorder::default())]);
    let target = target("nomad", "", "cart");
    let refusal = composite.observe(&target).await.unwrap_err();
    let expected = "invalid: target cartservice wants orchestrator \"nomad\", known are: recorder";
    assert_eq!(refusal.to_string(), expected);
    assert_eq!(composite.caps(&target), Caps::none());
}
