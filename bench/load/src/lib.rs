//! Shared by the generator and the upstream: sockets in one epoll, and helpers for their bytes.

pub mod bytes;
pub mod epoll;
