//! What the generator and the app share: sockets that wait in one epoll, and a look at their bytes.

pub mod bytes;
pub mod epoll;
