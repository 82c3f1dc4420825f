use super::*;

fn noise_frame(w: usize, h: usize) -> Frame {
    Frame { w, h, c: 3, data: (0..w * h * 3).map(|i| (i * 31 % 200) as u8).collect() }
}

fn pixel(f: &Frame, x: usize, y: usize) -> Ink {
    let at = (y * f.w + x) * 3;
    [f.data[at], f.data[at + 1], f.data[at + 2]]
}

#[test]
fn boxes_are_drawn_where_they_are() {
    let frame = Frame::filled(160, 120, 1, 40);
    let d = Detection { class: 1, score: 0.9, x1: 20.0, y1: 40.0, x2: 100.0, y2: 90.0 };
    let weak = Detection { class: 2, score: 0.2, x1: 110.0, y1: 40.0, x2: 150.0, y2: 90.0 };
    let out = detections(&frame, &[d, weak], &Task::default(), 0.5).unwrap();
    // Enlarged twice to 320 pixels.
    assert_eq!((out.w, out.h, out.c), (320, 240, 3));
    assert_eq!(pixel(&out, 40, 120), class_ink(1));
    assert_eq!(pixel(&out, 199, 179), class_ink(1));
    assert_eq!(pixel(&out, 39, 120), BLACK);
    assert_eq!(pixel(&out, 100, 120), [40; 3]);
    assert!((0..out.h).all(|y| (220..300).all(|x| pixel(&out, x, y) == [40; 3])), "below the threshold");
    assert_eq!(pixel(&out, 41, 72), class_ink(1), "the label lies above the box");
}

#[test]
fn boxes_and_labels_outside_are_clipped() {
    let frame = noise_frame(40, 30);
    let wild = [[-1e9, -1e9, 1e9, 1e9], [35.0, -20.0, 60.0, 5.0], [-9.0, 25.0, 3.0, 80.0], [10.0, 10.0, 10.0, 10.0]];
    let found = wild.map(|[x1, y1, x2, y2]| Detection { class: 0, score: 1.0, x1, y1, x2, y2 });
    assert_eq!(detections(&frame, &found, &Task::default(), 0.5).unwrap().w, 320);
    let bad = Frame { data: vec![0; 5], ..frame };
    assert!(detections(&bad, &[], &Task::default(), 0.5).is_err());
}

#[test]
fn masks_tint_their_pixels_only() {
    let frame = Frame::filled(320, 200, 3, 100);
    let out = mask(&frame, 2, 2, &[0, 1, 0, 0]).unwrap();
    assert_eq!(pixel(&out, 0, 0), [100; 3]);
    assert_eq!(pixel(&out, 319, 199), [100; 3]);
    let tinted = class_ink(1).map(|v| ((v as f32 + 100.0) / 2.0).round() as u8);
    assert_eq!((pixel(&out, 160, 99), pixel(&out, 319, 0)), (tinted, tinted));
    assert!(mask(&frame, 2, 2, &[0; 3]).is_err());
}

#[test]
fn heat_panels_show_active_pixels_and_their_share() {
    let frame = Frame::filled(320, 240, 3, 100);
    let active = [0, 1, 0, 0];
    let layer = Layer { name: "block3/conv2", h: 2, w: 2, active: &active };
    let out = heat(&frame, &[layer; 5]).unwrap();
    // Six panels: two rows of three.
    assert_eq!(out.w, 3 * (320 + GAP) + GAP);
    assert_eq!(out.h, 2 * (240 + TEXT_HEIGHT + 2 * GAP) + GAP);
    let (x, y) = (2 * GAP + 320, 2 * GAP + TEXT_HEIGHT);
    assert_eq!(pixel(&out, GAP, y), [100; 3]);
    assert_eq!(pixel(&out, x, y), [50; 3]);
    assert!(pixel(&out, x + 160, y)[0] > 180);
    assert_eq!(share(&layer), "25.0%");
    assert!(heat(&frame, &[Layer { active: &active[..3], ..layer }]).unwrap_err().to_string().contains("block3/conv2"));
}

#[test]
fn long_names_keep_their_ends() {
    assert_eq!(shortened("backbone.stage4.conv", 8), "..4.conv");
    assert_eq!(shortened("conv", 8), "conv");
    assert_eq!(shortened("conv", 1), ".");
}

#[test]
fn letters_differ_and_unknown_ones_are_boxes() {
    let all: Vec<char> = (' '..='~').collect();
    let boxed = font::glyph('\u{e9}');
    let known: Vec<[u8; 7]> = all.iter().map(|&c| font::glyph(c)).filter(|g| *g != boxed).collect();
    assert!(known.len() >= 88);
    for (i, a) in known.iter().enumerate() {
        assert!(known[i + 1..].iter().all(|b| a != b));
    }
    assert_eq!(text_width("ab", 2), 22);
}

#[test]
fn pictures_are_saved_as_png() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.png");
    let frame = noise_frame(30, 20);
    save(&path, &frame).unwrap();
    let back = crate::clip::open(path.to_str().unwrap(), &Default::default()).unwrap().next().unwrap().unwrap();
    assert_eq!(back, frame);
    assert!(format!("{:#}", save(&dir.path().join("no/a.png"), &frame).unwrap_err()).contains("a.png"));
}
