//! The published network, compiled: single precision and one change of one tenant at a time, for searches.

use neuro_profiler::deep_sets::{DeepSets, Pooling};
use neuro_profiler::network::{Activation, Network};
use neuro_profiler::server_state::{INSTANCES_SCALE, RATE_SCALE};
use pulp::Arch;

/// ρ and φ of a [`DeepSets`] that sums up its context.
#[derive(Debug)]
pub(crate) struct CompiledTenants {
    /// Length of h.
    context: usize,
    /// By application.
    embedding: Vec<Vec<f32>>,
    phi: Vec<Layer>,
    /// The first layer of ρ on (h, e, n, λ).
    first: Layer,
    /// The others.
    rho: Vec<Layer>,
}

/// A dense layer, column vectors of W one after another.
#[derive(Debug)]
struct Layer {
    outputs: usize,
    weights: Vec<f32>,
    bias: Vec<f32>,
}

/// What the network needs to know of a tenant.
#[derive(Clone, Debug)]
pub(crate) struct TenantTerms {
    pub(crate) app: usize,
    instances: f32,
    rate: f32,
    /// The first layer of ρ on (e, n, λ), with its bias.
    own: Vec<f32>,
    /// The outputs that are bounded, and their bounds.
    limits: Vec<(usize, f32)>,
}

/// The tenants of a server that changes: φ of every application there, and of what each tenant has beside it of its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct TenantServer {
    apps: Vec<Aggregate>,
    /// By tenant φ of the others of its application.
    beside: Vec<Vec<f32>>,
    h: Vec<f32>,
    /// The tenant that broke its promise last.
    suspect: usize,
    buffers: [Vec<f32>; 3],
}

/// All tenants of an application.
#[derive(Clone, Debug)]
struct Aggregate {
    app: usize,
    instances: f32,
    /// Σ instances · rate.
    load: f32,
    phi: Vec<f32>,
}

impl CompiledTenants {
    /// `None` of a network with another context than a sum.
    pub(crate) fn new(model: &DeepSets) -> Option<Self> {
        let (Some(phi), Pooling::Sum) = (model.phi(), model.shape().pooling) else { return None };
        let mut rho = layers(model.rho());
        let first = (!rho.is_empty()).then(|| rho.remove(0))?;
        // GELU between the layers, nothing after the last.
        let gelu = |network: &Network| {
            let last = network.layers().len() - 1;
            let expected = |i: usize| if i == last { Activation::Identity } else { Activation::Gelu };
            network.layers().iter().enumerate().all(|(i, layer)| layer.activation() == expected(i))
        };
        (gelu(phi) && gelu(model.rho()) && !rho.is_empty()).then(|| Self {
            context: model.shape().context,
            embedding: model
                .embedding()
                .rows()
                .into_iter()
                .map(|row| row.iter().map(|x| *x as f32).collect())
                .collect(),
            phi: layers(phi),
            first,
            rho,
        })
    }

    /// Of a tenant with so many instances at a rate each, and limits on outputs of ρ.
    pub(crate) fn terms(&self, app: usize, instances: f64, rate: f64, limits: Vec<(usize, f32)>) -> TenantTerms {
        let (instances, rate) = (instances as f32, rate as f32);
        let mut own = self.first.bias.clone();
        let weights = self.first.weights.chunks_exact(self.first.outputs).skip(self.context);
        for (x, column) in self.entry(app, instances, rate).zip(weights) {
            own.iter_mut().zip(column).for_each(|(sum, w)| *sum += w * x);
        }
        TenantTerms { app, instances, rate, own, limits }
    }

    /// (e, n/16, λ/10).
    fn entry(&self, app: usize, instances: f32, rate: f32) -> impl Iterator<Item = f32> {
        let scaled = [instances / INSTANCES_SCALE as f32, rate / RATE_SCALE as f32];
        self.embedding[app].iter().copied().chain(scaled)
    }

    /// φ of what there is of an application.
    fn phi(&self, app: usize, instances: f32, load: f32, buffers: &mut [Vec<f32>; 3]) -> Vec<f32> {
        if instances < 0.5 {
            return vec![0.0; self.context];
        }
        let [x, y, _] = buffers;
        x.clear();
        x.extend(self.entry(app, instances, load / instances));
        forward(&self.phi, x, y);
        x.clone()
    }
}

impl TenantServer {
    /// Adds a tenant behind `tenants`, which are those before.
    pub(crate) fn add<'t>(
        &mut self,
        network: &CompiledTenants,
        terms: &'t TenantTerms,
        tenants: impl Iterator<Item = &'t TenantTerms>,
    ) {
        self.beside.push(Vec::new());
        self.change(network, terms, 1.0, tenants.chain([terms]));
    }

    /// Removes the tenant at a place, which leaves `tenants`.
    pub(crate) fn remove<'t>(
        &mut self,
        network: &CompiledTenants,
        place: usize,
        terms: &'t TenantTerms,
        tenants: impl Iterator<Item = &'t TenantTerms>,
    ) {
        self.beside.remove(place);
        self.change(network, terms, -1.0, tenants);
    }

    fn change<'t>(
        &mut self,
        network: &CompiledTenants,
        terms: &TenantTerms,
        sign: f32,
        tenants: impl Iterator<Item = &'t TenantTerms>,
    ) {
        self.suspect = self.beside.len().saturating_sub(1);
        let known = self.apps.iter().position(|entry| entry.app == terms.app);
        let place = known.unwrap_or_else(|| {
            self.apps.push(Aggregate { app: terms.app, instances: 0.0, load: 0.0, phi: Vec::new() });
            self.apps.len() - 1
        });
        let entry = &mut self.apps[place];
        entry.instances += sign * terms.instances;
        entry.load += sign * terms.instances * terms.rate;
        let (instances, load) = (entry.instances, entry.load);
        Arch::new().dispatch(|| {
            entry.phi = network.phi(terms.app, instances, load, &mut self.buffers);
            for (beside, tenant) in self.beside.iter_mut().zip(tenants).filter(|(_, tenant)| tenant.app == terms.app) {
                let (n, of) = (instances - tenant.instances, load - tenant.instances * tenant.rate);
                *beside = network.phi(terms.app, n, of, &mut self.buffers);
            }
        });
        self.h.clear();
        self.h.resize(network.context, 0.0);
        for entry in &self.apps {
            self.h.iter_mut().zip(&entry.phi).for_each(|(h, phi)| *h += phi);
        }
    }

    /// The place of a tenant whose promise does not hold.
    pub(crate) fn violator(&mut self, network: &CompiledTenants, tenants: &[&TenantTerms]) -> Option<usize> {
        let suspect = self.suspect.min(tenants.len().saturating_sub(1));
        let order = (suspect..tenants.len()).chain(0..suspect);
        let found = Arch::new().dispatch(
            #[inline(always)]
            || order.into_iter().find(|place| !self.holds(network, *place, tenants[*place])),
        );
        if let Some(place) = found {
            self.suspect = place;
        }
        found
    }

    #[inline(always)]
    fn holds(&mut self, network: &CompiledTenants, place: usize, terms: &TenantTerms) -> bool {
        let Some(own) = self.apps.iter().find(|entry| entry.app == terms.app) else { return false };
        let [x, y, _] = &mut self.buffers;
        x.clear();
        x.extend_from_slice(&terms.own);
        let context = self.h.iter().zip(&own.phi).zip(&self.beside[place]).map(|((h, own), beside)| h - own + beside);
        for (h, column) in context.zip(network.first.weights.chunks_exact(network.first.outputs)) {
            x.iter_mut().zip(column).for_each(|(sum, w)| *sum += w * h);
        }
        x.iter_mut().for_each(|x| *x = gelu(*x));
        forward(&network.rho, x, y);
        terms.limits.iter().all(|(output, limit)| x[*output] <= *limit)
    }
}

fn layers(network: &Network) -> Vec<Layer> {
    let of = network.layers().iter().map(|layer| Layer {
        outputs: layer.outputs(),
        weights: layer.weights().t().iter().map(|w| *w as f32).collect(),
        bias: layer.bias().iter().map(|b| *b as f32).collect(),
    });
    of.collect()
}

/// Layers with GELU between them, from `x` to `x`.
#[inline(always)]
fn forward(layers: &[Layer], x: &mut Vec<f32>, y: &mut Vec<f32>) {
    for (i, layer) in layers.iter().enumerate() {
        y.clear();
        y.extend_from_slice(&layer.bias);
        for (x, column) in x.iter().zip(layer.weights.chunks_exact(layer.outputs)) {
            y.iter_mut().zip(column).for_each(|(sum, w)| *sum += w * x);
        }
        if i + 1 < layers.len() {
            y.iter_mut().for_each(|y| *y = gelu(*y));
        }
        std::mem::swap(x, y);
    }
}

/// x·Φ(x) to 3e-7, with the error function of M. Abramowitz, I. A. Stegun, "Handbook of Mathematical Functions", 1964, 7.1.26.
#[inline(always)]
fn gelu(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let series = ((((1.061_405_4 * t - 1.453_152_1) * t + 1.421_413_8) * t - 0.284_496_72) * t + 0.254_829_6) * t;
    // 1 − Φ(|x|).
    let tail = 0.5 * series * exponential(-z * z);
    if x >= 0.0 { x - x * tail } else { x * tail }
}

/// eˣ for x ≤ 0, in operations that vectors have: 2ᵏ·2ᶠ with |f| ≤ 1/2 and a series of the latter.
#[inline(always)]
fn exponential(x: f32) -> f32 {
    let y = (x * std::f32::consts::LOG2_E).max(-120.0);
    // Rounds to the nearest whole number.
    let magic = 12_582_912.0;
    let k = (y + magic) - magic;
    let f = (y - k) * std::f32::consts::LN_2;
    let series = 1.0 + f * (1.0 + f * (0.5 + f * (1.0 / 6.0 + f * (1.0 / 24.0 + f * (1.0 / 120.0 + f / 720.0)))));
    series * f32::from_bits(((k as i32 + 127) << 23) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gelu_is_that_of_double_precision() {
        for i in -4000..4000 {
            let x = f64::from(i) * 0.005;
            let exact = Activation::Gelu.at(x);
            assert!((f64::from(gelu(x as f32)) - exact).abs() < 1e-6 * x.abs().max(1.0), "{x}: {exact}");
        }
    }
}
