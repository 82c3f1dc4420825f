//! Moving pictures made by rule.

use crate::net::Random;

/// What happens between two frames.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    Still,
    Move,
    /// A few pixels anywhere.
    Speckle,
    /// Every pixel by at most 2 codes.
    Noise,
    Cut,
}

/// A textured background, blobs that bounce, and disturbances.
pub struct Scene {
    pub h: usize,
    pub w: usize,
    pub c: usize,
    r: Random,
    background: Vec<u8>,
    /// `y, x, vy, vx, radius` in pixels, and a colour.
    blobs: Vec<([f32; 5], [u8; 4])>,
    frame: Vec<u8>,
}

impl Scene {
    pub fn new(seed: u64, shape: [usize; 3]) -> Self {
        let [h, w, c] = shape;
        let mut s = Scene { h, w, c, r: Random::new(seed), background: vec![], blobs: vec![], frame: vec![] };
        s.cut();
        s
    }

    fn cut(&mut self) {
        let (h, w, c) = (self.h, self.w, self.c);
        let r = &mut self.r;
        let slope = [r.real(), r.real(), r.real()];
        let base = 60 + r.below(120);
        self.background = (0..h * w * c)
            .map(|i| {
                let (y, x, k) = (i / c / w, i / c % w, i % c);
                let ramp = slope[0] * y as f32 + slope[1] * x as f32 + 20.0 * slope[2] * k as f32;
                (base as f32 + ramp + 12.0 * r.real()).clamp(0.0, 255.0) as u8
            })
            .collect();
        self.blobs = (0..1 + r.below(3))
            .map(|_| {
                let radius = 1.5 + (h.min(w) as f32 / 8.0) * (r.real() + 1.0) / 2.0;
                let at = [r.below(h) as f32, r.below(w) as f32, 2.0 * r.real(), 2.0 * r.real(), radius];
                (at, std::array::from_fn(|_| r.below(256) as u8))
            })
            .collect();
        self.draw();
    }

    fn draw(&mut self) {
        self.frame.clone_from(&self.background);
        for ([y, x, _, _, radius], colour) in &self.blobs {
            for dy in -(*radius as isize)..=*radius as isize {
                for dx in -(*radius as isize)..=*radius as isize {
                    let (py, px) = (*y as isize + dy, *x as isize + dx);
                    let inside = (dy * dy + dx * dx) as f32 <= radius * radius;
                    if inside && py >= 0 && px >= 0 && (py as usize) < self.h && (px as usize) < self.w {
                        let at = (py as usize * self.w + px as usize) * self.c;
                        (0..self.c).for_each(|k| self.frame[at + k] = colour[k % 4].wrapping_add(3 * (dy + dx) as u8));
                    }
                }
            }
        }
    }

    pub fn advance(&mut self) {
        for ([y, x, vy, vx, _], _) in &mut self.blobs {
            *y += *vy;
            *x += *vx;
            if *y < 0.0 || *y >= self.h as f32 {
                *vy = -*vy;
            }
            if *x < 0.0 || *x >= self.w as f32 {
                *vx = -*vx;
            }
        }
        self.draw();
    }

    pub fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// The next frame, by chance.
    pub fn next(&mut self) -> Event {
        let event = match self.r.below(100) {
            0..20 => Event::Still,
            20..70 => Event::Move,
            70..85 => Event::Speckle,
            85..95 => Event::Noise,
            _ => Event::Cut,
        };
        self.make(event);
        event
    }

    pub fn make(&mut self, event: Event) {
        match event {
            Event::Still => {}
            Event::Move => self.advance(),
            Event::Speckle => {
                for _ in 0..1 + self.r.below(6) {
                    let at = self.r.below(self.frame.len());
                    self.frame[at] = self.r.below(256) as u8;
                }
            }
            Event::Noise => self.noise(2),
            Event::Cut => self.cut(),
        }
    }

    /// Every pixel by at most `n` codes.
    pub fn noise(&mut self, n: usize) {
        for v in &mut self.frame {
            let d = self.r.below(2 * n + 1) as i32 - n as i32;
            *v = (i32::from(*v) + d).clamp(0, 255) as u8;
        }
    }

    /// Brightness of the left half swings by `amplitude` codes over `period` frames; blobs creep.
    pub fn drift(&mut self, t: usize, amplitude: f32, period: f32) {
        for (at, _) in &mut self.blobs {
            (at[2], at[3]) = (at[2].clamp(-0.2, 0.2), at[3].clamp(-0.2, 0.2));
        }
        self.advance();
        let d = amplitude * (t as f32 * std::f32::consts::TAU / period).sin();
        let (w, c) = (self.w, self.c);
        for (i, v) in self.frame.iter_mut().enumerate() {
            if i / c % w < w / 2 {
                *v = (f32::from(*v) + d).clamp(0.0, 255.0) as u8;
            }
        }
    }
}
