//! Which tensors to hold under a limit of memory.
//!
//! ```text
//! everything is held; the tensor goes whose loss costs least work per byte of arena, until the rest fits
//! for every tensor that went: it comes back, for none, one or two others, if that leaves less work; until nothing does
//! ```
//!
//! Work is measured on the clips, in the exchange first on a few of their frames. As many exchanges are tried as settings in the refinement; what
//! fits as it is comes back in any case.

use std::collections::BTreeSet;

use anyhow::Result;

use super::{MARGIN, Search, Setting, set_thresholds};
use crate::artifact::Artifact;
use crate::lower::Hold;

/// Rounds of exchanges.
const PASSES: usize = 3;
/// Frames of each clip that exchanges are compared on at first.
const FRAMES: usize = 24;
/// Exchanges tried for one tensor.
const TRIED: usize = 64;

/// An artifact without these tensors held.
type Make<'m> = dyn Fn(&BTreeSet<usize>) -> Result<Artifact> + 'm;

/// Which tensors are not held, and the artifact that this makes.
pub(super) struct Plan {
    gone: BTreeSet<usize>,
    pub(super) artifact: Artifact,
    work: f64,
}

impl<'a> Search<'a> {
    /// The first artifact within the limit, with all gates at `setting`.
    pub(super) fn let_go(&mut self, pieces: &[(usize, usize)], setting: Setting) -> Result<Plan> {
        let budget = self.budget;
        let over = |a: &Artifact| budget.over(a);
        let make = self.maker(setting);
        let mut gone = BTreeSet::new();
        // The largest piece makes the scratch memory that the others then share.
        gone.extend(pieces.iter().max_by_key(|(_, b)| *b).map(|(t, _)| *t));
        let mut artifact = make(&gone)?;
        let mut base = self.trial.all(&artifact, MARGIN)?.work;
        // Work added per byte of arena saved; infinite where nothing is saved (scratch is shared, and a pair that runs in bands ends
        // with its held output).
        let price = |search: &mut Self, gone: &BTreeSet<usize>, now: (f64, u32), t: usize| -> Result<(f64, f64)> {
            let mut without = gone.clone();
            without.insert(t);
            let a = make(&without)?;
            let saved = now.1.saturating_sub(a.header().arena_len);
            if saved == 0 {
                return Ok((f64::INFINITY, 0.0));
            }
            search.found.runs += 1;
            let work = (search.trial.all(&a, MARGIN)?.work - now.0).max(1e-6);
            Ok((work / f64::from(saved), work))
        };
        let mut stuck = false;
        while over(&artifact) && gone.len() < pieces.len() {
            let left: Vec<(usize, usize)> = pieces.iter().copied().filter(|(t, _)| !gone.contains(t)).collect();
            if stuck {
                // No tensor saves memory alone: the largest goes, and its neighbours may follow.
                gone.extend(left.iter().max_by_key(|(_, b)| *b).map(|(t, _)| *t));
                artifact = make(&gone)?;
                base = self.trial.all(&artifact, MARGIN)?.work;
            }
            stuck = true;
            let mut queue = Vec::new();
            for (t, _) in left.into_iter().filter(|(t, _)| !gone.contains(t)) {
                queue.push((price(self, &gone, (base, artifact.header().arena_len), t)?.0, t));
            }
            // A price mostly rises as neighbours go: the cheapest is priced again, and goes if it still is the cheapest.
            while over(&artifact) && !queue.is_empty() {
                queue.sort_by(|a, b| b.0.total_cmp(&a.0));
                let Some((_, t)) = queue.pop() else { break };
                let (now, work) = price(self, &gone, (base, artifact.header().arena_len), t)?;
                if now == f64::INFINITY {
                    continue;
                }
                if queue.last().is_some_and(|next| next.0 * 1.1 < now) {
                    queue.push((now, t));
                    continue;
                }
                gone.insert(t);
                artifact = make(&gone)?;
                base += work;
                stuck = false;
                (self.progress)(&format!(
                    "{} tensors let go, arena {:.2}x dense, work {:.1} %",
                    gone.len(),
                    artifact.header().arena_len as f32 / artifact.header().arena_dense_len as f32,
                    100.0 * base
                ));
            }
        }
        self.found.held_let_go = gone.len();
        Ok(Plan { gone, artifact, work: base })
    }

    /// Makes artifacts with all gates at `setting`.
    fn maker(&self, setting: Setting) -> impl Fn(&BTreeSet<usize>) -> Result<Artifact> + use<'a> {
        let (lower, factors) = (self.lower, self.factors.clone());
        move |gone| {
            let mut a = lower(&Hold::Without(gone.clone()))?;
            set_thresholds(&mut a, setting.input, setting.tau, &factors);
            Ok(a)
        }
    }

    /// Takes tensors back where there is room, or in exchange for one or two others, as long as that leaves less work. Scratch is shared, so
    /// what a tensor costs and saves depends on the others: only trying tells.
    pub(super) fn exchange(&mut self, pieces: &[(usize, usize)], plan: &mut Plan, setting: Setting) -> Result<()> {
        let make = &self.maker(setting);
        plan.artifact = make(&plan.gone)?;
        plan.work = self.run(&plan.artifact)?.work;
        let mut left = self.budget.refine;
        for _ in 0..PASSES {
            let before = plan.work;
            for (t, _) in pieces {
                if plan.gone.contains(t) {
                    self.take_back(*t, pieces, plan, make, &mut left)?;
                }
            }
            (self.progress)(&format!(
                "{} tensors let go after exchanges, arena {} bytes, work {:.1} %",
                plan.gone.len(),
                plan.artifact.header().arena_len,
                100.0 * plan.work
            ));
            if plan.work >= before || left == 0 {
                break;
            }
        }
        self.found.held_let_go = plan.gone.len();
        Ok(())
    }

    /// Holds `t` again if that, with what has to go for it, leaves less work.
    fn take_back(&mut self, t: usize, pieces: &[(usize, usize)], plan: &mut Plan, make: &Make, left: &mut usize) -> Result<()> {
        let mut with = plan.gone.clone();
        with.remove(&t);
        let held: Vec<usize> = pieces.iter().map(|(t, _)| *t).filter(|p| *p != t && !plan.gone.contains(p)).collect();
        let mut best: Option<(f64, BTreeSet<usize>)> = None;
        let glance = |s: &mut Self, a: &Artifact| -> Result<f64> {
            s.found.runs += 1;
            Ok(s.trial.glance(a, MARGIN, FRAMES)?.work)
        };
        let now = glance(self, &plan.artifact)?;
        // Fewer go first: two only where one does not make room.
        let mut enough: Vec<usize> = Vec::new();
        let singles = std::iter::once(Vec::new()).chain(held.iter().map(|h| vec![*h]));
        let pairs = held.iter().enumerate().flat_map(|(i, a)| held[i + 1..].iter().map(move |b| vec![*a, *b]));
        for out in singles.chain(pairs).take(TRIED) {
            if !out.is_empty() {
                if *left == 0 {
                    break;
                }
                if out.iter().any(|o| enough.contains(o)) {
                    continue;
                }
                *left -= 1;
            }
            let mut gone = with.clone();
            gone.extend(&out);
            let a = make(&gone)?;
            if self.budget.over(&a) {
                continue;
            }
            let work = glance(self, &a)?;
            if best.as_ref().is_none_or(|(b, _)| work < *b) {
                best = Some((work, gone));
            }
            match out[..] {
                [] => break,
                [one] => enough.push(one),
                _ => {}
            }
        }
        let Some((_, gone)) = best.filter(|(work, _)| *work < now) else { return Ok(()) };
        let artifact = make(&gone)?;
        self.found.runs += 1;
        let work = self.trial.all(&artifact, MARGIN)?.work;
        if work < plan.work {
            *plan = Plan { gone, artifact, work };
        }
        Ok(())
    }
}
