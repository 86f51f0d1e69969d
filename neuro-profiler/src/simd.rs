//! Sums of products on the widest vectors of the processor.

use pulp::{Simd, WithSimd};

/// Rows of figures are padded to multiples of this, a multiple of every processor's vectors.
pub(crate) const LANES: usize = 16;

/// Rows that share what is loaded of a matrix.
pub(crate) const ROWS: usize = 8;

/// As many floats as [`LANES`].
pub(crate) type Lane = [f32; LANES];

/// Runs `work` compiled for the vectors that this processor has. What it calls is compiled so too if it is inlined.
#[cfg(feature = "candle")]
#[inline(always)]
pub(crate) fn vectorised<T>(work: impl FnOnce() -> T) -> T {
    pulp::Arch::new().dispatch(work)
}

/// Runs an operation that is written in vectors.
#[inline(always)]
pub(crate) fn dispatch<W: WithSimd>(work: W) -> W::Output {
    pulp::Arch::new().dispatch(work)
}

/// sums[i] + Σ_k factors_k[i] · rows_k[column], for [`ROWS`] values of i: eight sums in registers.
#[inline(always)]
pub(crate) fn eight_sums<'a, S: Simd>(
    simd: S,
    mut sums: [S::f32s; ROWS],
    factors: impl Iterator<Item = &'a [f32; ROWS]>,
    rows: &[S::f32s],
    width: usize,
    column: usize,
) -> [S::f32s; ROWS] {
    for (factors, row) in factors.zip(rows.chunks_exact(width)) {
        let row = row[column];
        for i in 0..ROWS {
            sums[i] = simd.mul_add_f32s(simd.splat_f32s(factors[i]), row, sums[i]);
        }
    }
    sums
}
