//! The library's decisions (R-CONT-1, -2, -4): what to fetch next, what may be kept and served, what goes when space
//! is short. The shells `cache` and `library` of the hub carry them out.

pub mod address;
pub mod evict;
pub mod freshness;
pub mod kind;
pub mod night;
pub mod origin;
pub mod plan;
pub mod range;
pub mod spans;

/// Bytes of a segment: the unit in which content is sealed with a hash and kept across a restart.
pub const SEGMENT: u64 = 1 << 20;

/// How many segments an object of `size` bytes has.
pub fn segments(size: u64) -> u64 {
    size.div_ceil(SEGMENT)
}

/// The bytes of segment `index` of an object of `size` bytes, the end exclusive.
pub fn segment(index: u64, size: u64) -> (u64, u64) {
    let from = index.saturating_mul(SEGMENT).min(size);
    (from, from.saturating_add(SEGMENT).min(size))
}
