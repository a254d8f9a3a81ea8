//! Has this been here before? The stores that remember it, behind one state machine.

pub mod embedded;
pub mod memory;
pub mod naming;
pub mod redis;
pub mod state;
pub mod store;
