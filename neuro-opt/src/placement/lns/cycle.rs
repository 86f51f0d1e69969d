/// Iterations of the search of two servers alone.
pub(super) const PAIR_CYCLE: u64 = 1_500;
/// By how much a cycle is longer than the one before.
const GROWTH: f64 = 1.5;
/// The temperature at a cycle's end, in that at its begin.
pub(super) const COLD: f64 = 0.1;

/// One fall of the temperature.
pub(super) struct Cycle {
    /// Temperatures in payments at its begin and end.
    pub(super) hot: f64,
    pub(super) cold: f64,
    pub(super) done: u64,
    pub(super) length: u64,
    /// Iterations of the last cycle of all servers.
    pub(super) whole: u64,
    /// Pairs of servers that are to be searched before the next of those.
    pub(super) pairs: u64,
    /// The servers that are searched alone, and the revenue and placement before.
    pub(super) pair: Option<([usize; 2], f64, Vec<u32>)>,
}

impl Cycle {
    /// One of all servers, longer than the last one.
    pub(super) fn begin_whole(&mut self) {
        self.whole = (self.whole as f64 * GROWTH) as u64 + 1;
        self.pairs = self.whole / PAIR_CYCLE;
        self.length = self.whole;
        self.done = 0;
    }

    /// One of two servers.
    pub(super) fn begin_pair(&mut self, pair: [usize; 2], revenue: f64, placement: Vec<u32>) {
        self.pairs -= 1;
        self.length = PAIR_CYCLE;
        self.done = 0;
        self.pair = Some((pair, revenue, placement));
    }

    pub(super) fn temperature(&self) -> f64 {
        let share = self.done as f64 / self.length as f64;
        (self.hot * (self.cold / self.hot).powf(share)).max(f64::MIN_POSITIVE)
    }
}
