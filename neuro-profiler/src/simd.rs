//! Vectors of fixed length.

/// Floats that are worked on together.
pub(crate) const LANES: usize = 16;

/// As many floats.
pub(crate) type Lane = [f32; LANES];

/// Runs `work` compiled for the vectors that this processor has. What it calls is compiled so too if it is inlined.
#[inline(always)]
pub(crate) fn vectorised<T>(work: impl FnOnce() -> T) -> T {
    pulp::Arch::new().dispatch(work)
}
