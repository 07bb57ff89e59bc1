//! `gateway demo`.
