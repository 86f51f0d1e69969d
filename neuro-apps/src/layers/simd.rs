//! The widest vectors of the processor, and all of the process's threads.

use candle_core::{CpuStorage, Layout, Result};
use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;

use crate::process::compute_threads;

/// Runs `work` compiled for the vectors that this processor has, where the rest of the program is compiled for the oldest one of its
/// kind. What `work` calls is compiled so too if it is inlined.
#[inline(always)]
pub(crate) fn vectorised<T>(work: impl FnOnce() -> T) -> T {
    pulp::Arch::new().dispatch(work)
}

/// Calls `work` with the index and the values of each row of `rows`, `width` values wide, on all compute threads.
pub(crate) fn for_each_row(rows: &mut [f32], width: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
    if compute_threads() > 1 {
        rows.par_chunks_exact_mut(width).enumerate().for_each(|(index, row)| work(index, row));
    } else {
        rows.chunks_exact_mut(width).enumerate().for_each(|(index, row)| work(index, row));
    }
}

/// The values of a tensor that lies in memory without gaps.
pub(crate) fn contiguous<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => candle_core::bail!("a kernel needs a contiguous tensor, this one has layout {layout:?}"),
    }
}

/// As [`contiguous`], to write.
pub(crate) fn contiguous_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (layout.contiguous_offsets(), storage) {
        (Some((start, end)), CpuStorage::F32(values)) => Ok(&mut values[start..end]),
        _ => candle_core::bail!("a kernel needs a contiguous tensor of 32-bit floats, this one has layout {layout:?}"),
    }
}
