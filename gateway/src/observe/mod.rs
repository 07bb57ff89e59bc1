//! What the gateway tells of itself: one enum of events, and who hears of each.

mod event;

pub use event::Event;
