//! The models against their Python originals: `reference/golden.py` made the outputs in `tests/golden`, with weights and inputs from
//! the formula below.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::{DType, Device, Result, Shape, Tensor, safetensors};
use candle_nn::Init;
use candle_nn::var_builder::{SimpleBackend, VarBuilder};
use neuro_apps::app::Tensors;
use neuro_apps::registry::Registry;

/// The largest difference allowed, relative to the largest output: some twenty times what `reference/compare.py` found.
const TOLERANCE: f32 = 2e-5;

/// Element i is the (i + 1)th output of SplitMix64 from the state FNV-1a(name).
fn integers(name: &str, count: usize) -> impl Iterator<Item = u64> {
    let fnv1a =
        name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3));
    (1..=count as u64).map(move |i| {
        let mut z = fnv1a.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

/// In [0, 1), 24 bits.
fn uniform(name: &str, count: usize) -> impl Iterator<Item = f64> {
    integers(name, count).map(|z| (z >> 40) as f64 / f64::from(1 << 24))
}

/// Variance 1 / inputs for matrices and kernels; norms about 1, biases and means about 0. Counts trainable parameters.
struct Formula {
    parameters: Arc<AtomicUsize>,
}

impl SimpleBackend for Formula {
    fn get(&self, shape: Shape, name: &str, _: Init, _: DType, device: &Device) -> Result<Tensor> {
        let count = shape.elem_count();
        if !name.contains("running_") {
            self.parameters.fetch_add(count, Ordering::Relaxed);
        }
        let values = uniform(name, count);
        let values: Vec<f32> = if shape.rank() > 1 {
            let inputs: usize = shape.dims()[1..].iter().product();
            let scale = (12.0 / inputs as f64).sqrt();
            values.map(|u| ((u - 0.5) * scale) as f32).collect()
        } else if name.ends_with("running_var") || name.ends_with("weight") {
            values.map(|u| (0.5 + u) as f32).collect()
        } else {
            values.map(|u| (0.2 * (u - 0.5)) as f32).collect()
        };
        Tensor::from_vec(values, shape, device)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        candle_core::bail!("no shape for {name}")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        false
    }
}

/// An input: white noise of variance 1, or integers.
fn input(name: &str, like: &Tensor) -> Tensor {
    let (shape, count) = (like.shape(), like.elem_count());
    let stream = format!("input.{name}");
    let limit = match name {
        "input_ids" => 30_522,
        "token_type_ids" => 2,
        "edges" => 1_000,
        _ => {
            let values: Vec<f32> = uniform(&stream, count).map(|u| ((u - 0.5) * 12f64.sqrt()) as f32).collect();
            return Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
        }
    };
    let values: Vec<u32> = integers(&stream, count).map(|z| (z % limit) as u32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn agrees(id: &str, parameters: usize) {
    let app = Registry::built_in().find(id).unwrap();
    let counted = Arc::new(AtomicUsize::new(0));
    let formula = Formula { parameters: Arc::clone(&counted) };
    let model = (app.model)(VarBuilder::from_backend(Box::new(formula), DType::F32, Device::Cpu), 0).unwrap();
    assert_eq!(counted.load(Ordering::Relaxed), parameters, "{id}: parameters");

    let example = model.example(0, app.default_batch).unwrap();
    let inputs: Tensors = example.iter().map(|(name, like)| (name.clone(), input(name, like))).collect();
    let found = model.forward(&inputs).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{id}.safetensors"));
    let expected = safetensors::load(path, &Device::Cpu).unwrap().remove("output").unwrap();

    let largest =
        |tensor: &Tensor| -> f32 { tensor.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap() };
    assert_eq!(found.elem_count(), expected.elem_count(), "{id}: outputs");
    let difference = largest(&(found.reshape(expected.shape()).unwrap() - &expected).unwrap()) / largest(&expected);
    assert!(difference < TOLERANCE, "{id}: relative difference {difference}");
}

#[test]
fn efficientnet_v2_l_agrees_with_torchvision() {
    agrees("iclf-efnet", 118_515_272);
}

#[test]
fn mobilenet_v3_large_agrees_with_torchvision() {
    agrees("iclf-mnet", 5_483_032);
}

#[test]
fn mobilevit_s_agrees_with_transformers() {
    agrees("iclf-mvit", 5_578_632);
}

#[test]
fn kalmannet_agrees_with_torch() {
    agrees("kalman-gru", 99_444);
}

#[test]
fn gcnii_agrees_with_pytorch_geometric() {
    agrees("tclf-gcn", 313_034);
}

#[test]
fn bert_base_agrees_with_transformers() {
    agrees("text-bert", 109_483_778);
}

#[test]
fn tinybert_agrees_with_transformers() {
    agrees("text-tbert", 4_386_049);
}

#[test]
fn stacked_lstm_agrees_with_torch() {
    agrees("tstr-lstm", 51_431);
}
