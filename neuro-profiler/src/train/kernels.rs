//! The three matrix products of a dense layer and its backward pass, for a handful of columns and many rows.
//!
//! Columns are padded to whole vectors; eight rows at a time share what is loaded of the weights, and their sums stay in registers.
//! Everything is compiled for several processors and chosen at run time ([`pulp`]).

use pulp::{Simd, WithSimd};

use crate::network::Activation;
use crate::simd::{LANES, Lane, ROWS, dispatch, eight_sums, vectorised};

/// Rows of equal padded length. Padding is zero.
#[derive(Clone, Debug, Default)]
pub(super) struct Matrix {
    values: Vec<Lane>,
    /// Vectors a row.
    width: usize,
}

impl Matrix {
    /// Makes it `rows` × `columns`, without saying what it holds.
    pub(super) fn reshape(&mut self, rows: usize, columns: usize) {
        self.width = columns.div_ceil(LANES);
        self.values.resize(rows * self.width, [0.0; LANES]);
    }

    /// Makes it `rows` × `columns` zeros.
    pub(super) fn clear(&mut self, rows: usize, columns: usize) {
        self.values.clear();
        self.reshape(rows, columns);
    }

    pub(super) fn rows(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }

    /// One row, padding included.
    pub(super) fn row(&self, row: usize) -> &[f32] {
        self.values[row * self.width..][..self.width].as_flattened()
    }

    /// One row, padding included, which must stay zero.
    pub(super) fn row_mut(&mut self, row: usize) -> &mut [f32] {
        self.values[row * self.width..][..self.width].as_flattened_mut()
    }

    fn flat(&self) -> &[f32] {
        self.values.as_flattened()
    }
}

/// The number of floats that `columns` take with their padding.
pub(super) fn padded(columns: usize) -> usize {
    columns.next_multiple_of(LANES)
}

/// y = x·w + b, each row of y.
///
/// # Shapes
///
/// x: (rows, inputs) · w: (inputs, padded outputs) · b: (padded outputs), or none of it · y: (rows, outputs).
pub(super) fn product(x: &Matrix, inputs: usize, w: &[f32], b: Option<&[f32]>, y: &mut Matrix) {
    dispatch(Product { x, inputs, w, b, y });
}

struct Product<'a> {
    x: &'a Matrix,
    inputs: usize,
    w: &'a [f32],
    b: Option<&'a [f32]>,
    y: &'a mut Matrix,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, inputs, w, b, y } = self;
        let width = y.width * LANES / S::F32_LANES;
        let length = x.width * LANES;
        let (w, _) = S::as_simd_f32s(w);
        let b = b.map(|b| S::as_simd_f32s(b).0);
        // The rows of a block side by side; those that a last block lacks are zero.
        let mut block = vec![[0.0f32; ROWS]; inputs];
        for (x, y) in x.flat().chunks(ROWS * length).zip(y.values.chunks_mut(ROWS * y.width)) {
            for (i, row) in x.chunks_exact(length).enumerate() {
                for (to, from) in block.iter_mut().zip(row) {
                    to[i] = *from;
                }
            }
            let (y, _) = S::as_mut_simd_f32s(y.as_flattened_mut());
            for column in 0..width {
                let start = b.map_or(simd.splat_f32s(0.0), |b| b[column]);
                let sums = eight_sums(simd, [start; ROWS], block.iter(), w, width, column);
                for (y, sum) in y.chunks_exact_mut(width).zip(sums) {
                    y[column] = sum;
                }
            }
        }
    }
}

/// dw += xᵀ·dy and db += the sum of dy's rows.
///
/// # Shapes
///
/// x: (rows, inputs) · dy: (rows, outputs) · dw: (inputs, padded outputs) · db: (padded outputs).
pub(super) fn add_weight_gradient(x: &Matrix, inputs: usize, dy: &Matrix, dw: &mut [f32], db: &mut [f32]) {
    dispatch(WeightGradient { x, inputs, dy, dw, db });
}

struct WeightGradient<'a> {
    x: &'a Matrix,
    inputs: usize,
    dy: &'a Matrix,
    dw: &'a mut [f32],
    db: &'a mut [f32],
}

impl WithSimd for WeightGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, inputs, dy, dw, db } = self;
        let width = dy.width * LANES / S::F32_LANES;
        let (dy, _) = S::as_simd_f32s(dy.flat());
        let (dw, _) = S::as_mut_simd_f32s(dw);
        let (db, _) = S::as_mut_simd_f32s(db);
        // Rows of x in pieces of eight: their length is a multiple of it, and padding is zero.
        let (x_pieces, _) = x.flat().as_chunks::<ROWS>();
        let pieces = x.width * LANES / ROWS;
        let zero = simd.splat_f32s(0.0);
        for piece in 0..inputs.div_ceil(ROWS) {
            for column in 0..width {
                // Without rows there are no pieces either: a batch may hold no tenant that shares its server.
                let factors = x_pieces.get(piece..).unwrap_or_default().iter().step_by(pieces);
                let sums = eight_sums(simd, [zero; ROWS], factors, dy, width, column);
                let rows = dw.chunks_exact_mut(width).skip(piece * ROWS).take(inputs - piece * ROWS);
                for (dw, sum) in rows.zip(sums) {
                    dw[column] = simd.add_f32s(dw[column], sum);
                }
            }
        }
        for (column, db) in db.iter_mut().enumerate() {
            for dy in dy.chunks_exact(width) {
                *db = simd.add_f32s(*db, dy[column]);
            }
        }
    }
}

/// wᵀ with padded rows: (outputs, padded inputs) of w, (inputs, padded outputs).
pub(super) fn transpose(w: &[f32], inputs: usize, outputs: usize, transposed: &mut Vec<f32>) {
    let (row, column) = (padded(outputs), padded(inputs));
    transposed.clear();
    transposed.resize(outputs * column, 0.0);
    for (k, w) in w.chunks_exact(row).enumerate().take(inputs) {
        for (j, w) in w.iter().enumerate().take(outputs) {
            transposed[j * column + k] = *w;
        }
    }
}

/// Replaces each a of `values` by σ(a), and writes σ′(a) into `slopes`.
pub(super) fn activate(activation: Activation, values: &mut Matrix, slopes: &mut Matrix) {
    slopes.width = values.width;
    slopes.values.resize(values.values.len(), [0.0; LANES]);
    vectorised(
        #[inline(always)]
        || {
            for (values, slopes) in values.values.iter_mut().zip(&mut slopes.values) {
                for (value, slope) in values.iter_mut().zip(slopes) {
                    match activation {
                        Activation::Identity => *slope = 1.0,
                        Activation::Relu => {
                            *slope = if *value > 0.0 { 1.0 } else { 0.0 };
                            *value = value.max(0.0);
                        }
                        Activation::Gelu => (*value, *slope) = gelu(*value),
                    }
                }
            }
        },
    );
}

/// dy ∘ slopes, in place.
pub(super) fn multiply(dy: &mut Matrix, slopes: &Matrix) {
    vectorised(
        #[inline(always)]
        || {
            for (dy, slopes) in dy.values.iter_mut().zip(&slopes.values) {
                for l in 0..LANES {
                    dy[l] *= slopes[l];
                }
            }
        },
    );
}

/// x·Φ(x) and its slope Φ(x) + x·φ(x), absolute error below 1e-6.
///
/// With e = exp(−x²/2) and t = 1 / (1 + p·|x|/√2), 1 − Φ(|x|) = t·(a₁ + t·(a₂ + …))·e / 2 and φ(x) = e / √(2π): one exponential
/// gives both. Formula 7.1.26 of M. Abramowitz, I. Stegun, *Handbook of Mathematical Functions*, 1964.
#[inline(always)]
fn gelu(x: f32) -> (f32, f32) {
    let e = exp(-0.5 * x * x);
    let t = 1.0 / (0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2).mul_add(x.abs(), 1.0);
    let p = 1.061_405_4f32.mul_add(t, -1.453_152);
    let p = p.mul_add(t, 1.421_413_8);
    let p = p.mul_add(t, -0.284_496_72);
    let p = p.mul_add(t, 0.254_829_6);
    let tail = 0.5 * p * t * e;
    let cumulative = if x < 0.0 { tail } else { 1.0 - tail };
    // 1 / √(2π)
    (x * cumulative, (0.398_942_3 * x).mul_add(e, cumulative))
}

/// e^x for x in [−87, 0] (clamped), relative error below 3e-7.
///
/// x = k·ln 2 + r with |r| ≤ ln 2 / 2: the polynomial is the Taylor series of e^r to degree 7, and 2^k is written into the
/// exponent. Adding and taking away 1.5·2²³ rounds to the nearest whole number without a call.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 0.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let k = shifted - ROUND;
    let r = k.mul_add(-LN_2_LOW, k.mul_add(-LN_2_HIGH, x));
    let p = (1.0 / 5_040.0f32).mul_add(r, 1.0 / 720.0);
    let p = p.mul_add(r, 1.0 / 120.0);
    let p = p.mul_add(r, 1.0 / 24.0);
    let p = p.mul_add(r, 1.0 / 6.0);
    let p = p.mul_add(r, 0.5);
    let p = p.mul_add(r, 1.0);
    let p = p.mul_add(r, 1.0);
    // The low bits of `shifted` hold k; moved up 23 places they are k in the exponent, and the bits of ROUND fall off.
    p * f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(rows: usize, columns: usize, of: impl Fn(usize, usize) -> f32) -> Matrix {
        let mut matrix = Matrix::default();
        matrix.clear(rows, columns);
        for row in 0..rows {
            for column in 0..columns {
                matrix.row_mut(row)[column] = of(row, column);
            }
        }
        matrix
    }

    /// Rows below, at and above a block; columns below and above a vector.
    #[test]
    fn products_agree_with_three_loops() {
        for (rows, inputs, outputs) in [(1, 7, 50), (8, 25, 8), (21, 17, 27), (3, 1, 1)] {
            let x = matrix(rows, inputs, |i, k| ((i * 31 + k * 7) % 11) as f32 - 5.0);
            let dy = matrix(rows, outputs, |i, j| ((i * 5 + j * 3) % 7) as f32 - 3.0);
            let mut w = vec![0.0; inputs * padded(outputs)];
            let mut b = vec![0.0; padded(outputs)];
            for j in 0..outputs {
                b[j] = j as f32;
                for k in 0..inputs {
                    w[k * padded(outputs) + j] = ((k * 13 + j * 2) % 9) as f32 - 4.0;
                }
            }
            let mut y = Matrix::default();
            y.reshape(rows, outputs);
            product(&x, inputs, &w, Some(&b), &mut y);
            let (mut dw, mut db) = (vec![1.0; w.len()], vec![1.0; b.len()]);
            add_weight_gradient(&x, inputs, &dy, &mut dw, &mut db);
            let mut transposed = Vec::new();
            transpose(&w, inputs, outputs, &mut transposed);
            let mut dx = Matrix::default();
            dx.reshape(rows, inputs);
            product(&dy, outputs, &transposed, None, &mut dx);
            let weight = |k: usize, j: usize| w[k * padded(outputs) + j];
            for i in 0..rows {
                for j in 0..outputs {
                    let sum: f32 = (0..inputs).map(|k| x.row(i)[k] * weight(k, j)).sum();
                    assert_eq!(y.row(i)[j], sum + j as f32);
                }
                for k in 0..inputs {
                    assert_eq!(dx.row(i)[k], (0..outputs).map(|j| dy.row(i)[j] * weight(k, j)).sum::<f32>());
                }
            }
            for j in 0..outputs {
                assert_eq!(db[j], 1.0 + (0..rows).map(|i| dy.row(i)[j]).sum::<f32>());
                for k in 0..inputs {
                    let sum: f32 = (0..rows).map(|i| x.row(i)[k] * dy.row(i)[j]).sum();
                    assert_eq!(dw[k * padded(outputs) + j], 1.0 + sum);
                }
            }
        }
    }

    #[test]
    fn no_rows_have_no_gradient() {
        let (x, dy) = (matrix(0, 17, |_, _| 0.0), matrix(0, 9, |_, _| 0.0));
        let (mut dw, mut db) = (vec![1.0; 17 * padded(9)], vec![1.0; padded(9)]);
        add_weight_gradient(&x, 17, &dy, &mut dw, &mut db);
        assert!(dw.iter().chain(&db).all(|value| *value == 1.0));
    }

    #[test]
    fn gelu_and_its_slope_agree_with_the_exact_ones() {
        for i in -100_000..=100_000 {
            let x = i as f32 * 2e-4;
            let exact = f64::from(x);
            let (value, slope) = gelu(x);
            assert!((f64::from(value) - Activation::Gelu.at(exact)).abs() < 3e-6, "{x}: {value}");
            let density = (-0.5 * exact * exact).exp() / (2.0 * std::f64::consts::PI).sqrt();
            let cumulative = 0.5 * (1.0 + libm::erf(exact * std::f64::consts::FRAC_1_SQRT_2));
            assert!((f64::from(slope) - cumulative - exact * density).abs() < 3e-6, "{x}: {slope}");
        }
    }
}
