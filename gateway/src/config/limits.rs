//! `limits`: bounds that belong to no listener and no pool.

/// `limits`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitsConfig {
    /// `backend_queue_max`: requests between the frontends and the backend; default 4096. Needs a restart.
    pub backend_queue_max: u32,
    /// `batch_items_max`: calls in one batch; default 100.
    pub batch_items_max: u32,
    /// `json_depth_max`: nesting of a request's JSON or MessagePack; default 32.
    pub depth_max: u32,
    /// `result_bytes_max`: of one reply's body; default 4 MiB.
    pub result_bytes_max: u32,
}
