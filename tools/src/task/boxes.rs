//! Boxes: overlap and non-maximum suppression.

use crate::clip::FitMap;

/// Corners in pixels; which pixels (model input or frame) is said where one is handed out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    pub class: usize,
    pub score: f32,
    pub x1: f32,
    pub y1: f32,
    pub x2: f32,
    pub y2: f32,
}

impl Detection {
    pub fn corners(&self) -> [f32; 4] {
        [self.x1, self.y1, self.x2, self.y2]
    }

    /// From model input pixels to frame pixels.
    pub fn in_frame(&self, map: &FitMap) -> Detection {
        let [x1, y1, x2, y2] = map.to_frame(self.corners());
        Detection { x1, y1, x2, y2, ..*self }
    }
}

/// Intersection over union of two boxes `[x1, y1, x2, y2]`; 0 where either is empty.
pub fn iou(a: [f32; 4], b: [f32; 4]) -> f32 {
    let area = |b: [f32; 4]| (b[2] - b[0]).max(0.0) * (b[3] - b[1]).max(0.0);
    let common = area([a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
    let union = area(a) + area(b) - common;
    if union > 0.0 { common / union } else { 0.0 }
}

/// Greedy suppression within each class: a box goes if a better one of its class overlaps it by more than `limit`.
/// Sorted by falling score; boxes that are not finite or empty are dropped.
pub fn suppress(mut found: Vec<Detection>, limit: f32) -> Vec<Detection> {
    found.retain(|d| d.corners().iter().all(|v| v.is_finite()) && d.x2 > d.x1 && d.y2 > d.y1);
    // Stable: equal scores stay in the order of the output.
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Detection> = Vec::new();
    for d in found {
        if kept.iter().all(|k| k.class != d.class || iou(k.corners(), d.corners()) <= limit) {
            kept.push(d);
        }
    }
    kept
}
