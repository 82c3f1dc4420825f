use super::*;
use std::io::Cursor;
use std::path::PathBuf;

/// A `w` by `h` picture whose samples all differ from their neighbours.
fn picture(w: usize, h: usize, c: usize, salt: usize) -> Frame {
    let data = (0..w * h * c).map(|i| ((i * 37 + (i / (w * c)) * 101 + salt * 53) % 256) as u8).collect();
    Frame { w, h, c, data }
}

fn save_png(path: &Path, frame: &Frame) {
    let kind = if frame.c == 1 { image::ExtendedColorType::L8 } else { image::ExtendedColorType::Rgb8 };
    image::save_buffer(path, &frame.data, frame.w as u32, frame.h as u32, kind).unwrap();
}

fn y4m_bytes(header: &str, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("YUV4MPEG2 {header}\n").into_bytes();
    for f in frames {
        bytes.extend_from_slice(b"FRAME\n");
        bytes.extend_from_slice(f);
    }
    bytes
}

fn y4m_clip(bytes: Vec<u8>, opts: &Options) -> Result<Clip> {
    let length = bytes.len() as u64;
    Clip::new("test.y4m", y4m::open(Cursor::new(bytes), Some(length))?, opts)
}

fn error(result: Result<impl Sized>) -> String {
    format!("{:#}", result.err().expect("an error"))
}

fn has_ffmpeg() -> bool {
    let found = std::process::Command::new("ffmpeg").arg("-version").output().is_ok();
    if !found {
        println!("skipped: no ffmpeg");
    }
    found
}

/// Runs ffmpeg on a generated test picture; `args` come before the output.
fn encode(args: &[&str], out: &Path) {
    let status = std::process::Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=size=96x64:rate=10:duration=2"])
        .args(args)
        .arg(out)
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn folder_is_read_in_natural_order_with_start_step_and_limit() {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..12 {
        save_png(&dir.path().join(format!("f{i}.png")), &picture(8, 6, 3, i));
    }
    let spec = dir.path().to_str().unwrap();
    let clip = open(spec, &Options::default()).unwrap();
    assert_eq!((clip.w, clip.h, clip.c, clip.frames), (8, 6, 3, Some(12)));
    let all: Vec<Frame> = clip.map(Result::unwrap).collect();
    assert!((0..12).all(|i| all[i] == picture(8, 6, 3, i)));
    let opts = Options { start: 1, step: 4, frames: Some(2), noise: None };
    let clip = open(&format!("{spec}/f*.png"), &opts).unwrap();
    assert_eq!(clip.frames, Some(2));
    let some: Vec<Frame> = clip.map(Result::unwrap).collect();
    assert_eq!(some, [picture(8, 6, 3, 1), picture(8, 6, 3, 5)]);
    let one = open(&format!("{spec}/f7.png"), &Options::default()).unwrap();
    assert_eq!(one.map(Result::unwrap).collect::<Vec<_>>(), [picture(8, 6, 3, 7)]);
}

#[test]
fn natural_order_is_by_value() {
    let mut names = ["f10", "f2", "f002", "f1b", "f1a", "e99"];
    names.sort_by(|a, b| images::natural_order(a, b));
    assert_eq!(names, ["e99", "f1a", "f1b", "f2", "f002", "f10"]);
}

#[test]
fn grey_pictures_stay_grey_and_colour_cannot_follow() {
    let dir = tempfile::tempdir().unwrap();
    save_png(&dir.path().join("0.png"), &picture(5, 4, 1, 0));
    save_png(&dir.path().join("1.png"), &picture(5, 4, 3, 1));
    let mut clip = open(dir.path().to_str().unwrap(), &Options::default()).unwrap();
    assert_eq!(clip.next().unwrap().unwrap(), picture(5, 4, 1, 0));
    assert!(error(clip.next().unwrap()).contains("1.png is in colour"));
    assert!(clip.next().is_none());
}

#[test]
fn changing_sizes_name_the_frame() {
    let dir = tempfile::tempdir().unwrap();
    save_png(&dir.path().join("0.png"), &picture(5, 4, 3, 0));
    save_png(&dir.path().join("1.png"), &picture(4, 5, 3, 0));
    let spec = dir.path().to_str().unwrap();
    let last = open(spec, &Options::default()).unwrap().last().unwrap();
    let message = error(last);
    assert!(message.contains(spec) && message.contains("frame 1: 4x5"), "{message}");
}

#[test]
fn damaged_and_missing_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    let open = |name: &str| open(&path(name), &Options::default());
    assert!(error(open("none.mp4")).contains("none.mp4: no such clip"));
    assert!(error(open("none*.png")).contains("holds no PNG or JPEG"));
    assert!(error(open("")).contains("holds no PNG or JPEG"));
    std::fs::write(path("cut.gif"), b"GIF89a").unwrap();
    assert!(error(open("cut.gif")).contains("cut.gif"));
    std::fs::write(path("a.png"), b"not a picture").unwrap();
    assert!(error(open("a.png")).contains("a.png"));
    std::fs::write(path("a.y4m"), b"").unwrap();
    assert!(error(open("a.y4m")).contains("a.y4m: empty"));
    std::fs::write(path("a.npy"), b"\x93NUMPY").unwrap();
    assert!(error(open("a.npy")).contains("tensors"));
    assert!(error(Source::open(&path("a.npy"), &Options::default())).contains("a.npy"));
    let opts = Options { step: 0, ..Default::default() };
    assert!(error(super::open(&path("a.png"), &opts)).contains("step of 0"));
}

#[test]
fn y4m_colours_follow_bt601() {
    // One 2x2 block each: white, black, and the BT.601 codes of pure red, green, blue.
    let codes = [(235, 128, 128), (16, 128, 128), (81, 90, 240), (145, 54, 34), (41, 240, 110)];
    let expected = [[255, 255, 255], [0, 0, 0], [254, 0, 0], [0, 255, 1], [0, 0, 255]];
    for (tag, chroma) in [("C420jpeg", 1), ("C422", 2), ("C444", 4)] {
        let frames: Vec<Vec<u8>> = codes.iter().map(|&(y, u, v)| [vec![y; 4], vec![u; chroma], vec![v; chroma]].concat()).collect();
        let clip = y4m_clip(y4m_bytes(&format!("W2 H2 F30:2 {tag}"), &frames), &Options::default()).unwrap();
        assert_eq!((clip.fps, clip.frames), (Some(15.0), Some(5)));
        for (frame, want) in clip.zip(expected) {
            let frame = frame.unwrap();
            assert_eq!(frame.c, 3);
            for pixel in frame.data.chunks(3) {
                assert!(pixel.iter().zip(want).all(|(&a, b): (&u8, i32)| (a as i32 - b).abs() <= 1), "{pixel:?} {want:?}");
            }
        }
    }
}

#[test]
fn y4m_mono_ranges_and_odd_sizes() {
    let clip = y4m_clip(y4m_bytes("W3 H1 F25:1 Cmono", &[vec![16, 126, 235]]), &Options::default()).unwrap();
    assert_eq!(clip.c, 1);
    assert_eq!(clip.last().unwrap().unwrap().data, [0, 128, 255]);
    let full = y4m_bytes("W3 H1 F25:1 Cmono XCOLORRANGE=FULL", &[vec![0, 126, 255]]);
    assert_eq!(y4m_clip(full, &Options::default()).unwrap().last().unwrap().unwrap().data, [0, 126, 255]);
    // 3x3 in 4:2:0 has 2x2 chroma samples; the last column has its own.
    let frame = [vec![126; 9], vec![128; 4], vec![128, 200, 128, 128]].concat();
    let clip = y4m_clip(y4m_bytes("W3 H3 F25:1 C420", &[frame]), &Options::default()).unwrap();
    let data = clip.last().unwrap().unwrap().data;
    assert_eq!(data[..3], data[3..6]);
    assert!(data[6] > data[3] && data[9 + 6] > 200 && data[18 + 6] == 128);
}

#[test]
fn y4m_cut_in_a_frame_is_an_error_and_high_depth_is_refused() {
    let mut bytes = y4m_bytes("W2 H2 F25:1 Cmono", &[vec![50; 4], vec![60; 4]]);
    bytes.pop();
    let results: Vec<Result<Frame>> = y4m_clip(bytes, &Options::default()).unwrap().collect();
    assert!(results[0].is_ok() && results.len() == 2);
    assert!(format!("{:#}", results[1].as_ref().unwrap_err()).contains("test.y4m, frame 1: the y4m stream is cut off"));
    let deep = y4m_bytes("W2 H2 F25:1 C420p10", &[vec![0; 12]]);
    assert!(error(y4m_clip(deep, &Options::default())).contains("C420p10"));
    assert!(error(y4m_clip(y4m_bytes("W2 H2 F25:1 Cmono", &[]), &Options::default())).contains("no frames"));
    let opts = Options { start: 3, ..Default::default() };
    assert!(error(y4m_clip(y4m_bytes("W2 H2 F25:1 Cmono", &[vec![0; 4]]), &opts)).contains("only 1 frames"));
    assert!(y4m_clip(y4m_bytes("W99999999999 H99999999999 F25:1 Cmono", &[]), &Options::default()).is_err());
}

#[test]
fn gif_frames_and_rate() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.gif");
    {
        let mut encoder = image::codecs::gif::GifEncoder::new(std::fs::File::create(&path).unwrap());
        for level in [0u8, 100, 200] {
            let buffer = image::RgbaImage::from_pixel(6, 4, image::Rgba([level, 0, 255 - level, 255]));
            let delay = image::Delay::from_numer_denom_ms(50, 1);
            encoder.encode_frame(image::Frame::from_parts(buffer, 0, 0, delay)).unwrap();
        }
    }
    let clip = open(path.to_str().unwrap(), &Options::default()).unwrap();
    assert_eq!((clip.w, clip.h, clip.c, clip.fps), (6, 4, 3, Some(20.0)));
    let levels: Vec<u8> = clip.map(|f| f.unwrap().data[0]).collect();
    assert_eq!(levels, [0, 100, 200]);
}

#[test]
fn video_files_through_ffmpeg() {
    if !has_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // Lossless RGB: what comes back must be what went in, repeats included.
    let frames: Vec<Frame> = [0, 1, 2, 2, 2, 3].map(|salt| picture(34, 18, 3, salt)).to_vec();
    for (i, frame) in frames.iter().enumerate() {
        save_png(&dir.path().join(format!("{i}.png")), frame);
    }
    let video = dir.path().join("a.mkv");
    let status = std::process::Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-framerate", "10", "-i"])
        .arg(dir.path().join("%d.png"))
        .args(["-c:v", "ffv1", "-pix_fmt", "bgr0"])
        .arg(&video)
        .status()
        .unwrap();
    assert!(status.success());
    let clip = open(video.to_str().unwrap(), &Options::default()).unwrap();
    assert_eq!((clip.w, clip.h, clip.c, clip.fps), (34, 18, 3, Some(10.0)));
    assert!(clip.map(Result::unwrap).eq(frames.iter().cloned()));
    let opts = Options { start: 1, step: 2, frames: Some(2), noise: None };
    let some: Vec<Frame> = open(video.to_str().unwrap(), &opts).unwrap().map(Result::unwrap).collect();
    assert!(some == [frames[1].clone(), frames[3].clone()]);
}

#[test]
fn damaged_video_is_an_error_unless_frames_stop_before() {
    if !has_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let cut = dir.path().join("cut.mkv");
    encode(&["-c:v", "mpeg4", "-q:v", "2"], &cut);
    let bytes = std::fs::read(&cut).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() * 6 / 10]).unwrap();
    let spec = cut.to_str().unwrap();
    let last = open(spec, &Options::default()).unwrap().last().unwrap();
    let message = error(last);
    assert!(message.contains(spec) && message.contains("ffmpeg could not decode") && message.contains("limit the frames"), "{message}");
    let opts = Options { frames: Some(3), ..Default::default() };
    assert_eq!(open(spec, &opts).unwrap().filter(Result::is_ok).count(), 3);
    let noise = dir.path().join("noise.mp4");
    std::fs::write(&noise, picture(50, 50, 3, 0).data).unwrap();
    assert!(error(open(noise.to_str().unwrap(), &Options::default())).contains("noise.mp4"));
}

#[test]
fn what_is_no_video_gives_one_line_and_no_advice_on_frames() {
    if !has_ffmpeg() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("text.mp4");
    std::fs::write(&path, "no video").unwrap();
    let message = error(open(path.to_str().unwrap(), &Options::default()));
    assert!(message.contains("ffmpeg could not decode the clip:") && !message.contains("limit the frames"), "{message}");
    assert!(!message.contains('\n'), "{message}");
}

#[test]
fn a_missing_ffmpeg_is_explained() {
    let path = PathBuf::from("door.mp4");
    let message = error(ffmpeg::open_with("no-such-decoder", "no-such-probe", &path));
    assert!(message.contains("door.mp4: video files need ffmpeg"), "{message}");
}

#[test]
fn noise_is_gaussian_repeatable_and_independent_of_the_start() {
    let frames = vec![vec![126u8; 64 * 64]; 4];
    let bytes = y4m_bytes("W64 H64 F25:1 Cmono XCOLORRANGE=FULL", &frames);
    let noise = Some(Noise { sigma: 4.0, seed: 7 });
    let all: Vec<Frame> = y4m_clip(bytes.clone(), &Options { noise, ..Default::default() }).unwrap().map(Result::unwrap).collect();
    let opts = Options { start: 1, step: 2, noise, ..Default::default() };
    let some: Vec<Frame> = y4m_clip(bytes, &opts).unwrap().map(Result::unwrap).collect();
    assert!(some == [all[1].clone(), all[3].clone()]);
    assert_ne!(all[0], all[1]);
    let samples: Vec<f64> = all.iter().flat_map(|f| &f.data).map(|&v| v as f64 - 126.0).collect();
    let n = samples.len() as f64;
    let mean = samples.iter().sum::<f64>() / n;
    let variance = samples.iter().map(|v| v * v).sum::<f64>() / n;
    let tails = samples.iter().filter(|v| v.abs() > 8.5).count() as f64 / n;
    assert!(mean.abs() < 0.15 && (variance - 16.0 - 1.0 / 12.0).abs() < 0.6, "mean {mean}, variance {variance}");
    // 2.125 sigma: 3.36 % of a normal distribution.
    assert!((tails - 0.0336).abs() < 0.006, "tails {tails}");
    let mut clamped = [0u8, 255].repeat(500);
    Noise { sigma: 20.0, seed: 1 }.add(&mut clamped, 0);
    assert!(clamped.chunks(2).all(|p| p[0] < 120 && p[1] > 135));
    assert!(Noise { sigma: f32::NAN, seed: 1 }.check().is_err());
}

#[test]
fn arrays_come_back_and_frames_step() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.npy");
    let data: Vec<f32> = (0..24).map(|v| v as f32 * 0.5 - 3.0).collect();
    npy::write(&path, &[4, 2, 3], &data).unwrap();
    assert_eq!(npy::read(&path).unwrap(), (vec![4, 2, 3], data.clone()));
    let opts = Options { start: 1, step: 2, ..Default::default() };
    let Source::Tensors(clip) = Source::open(path.to_str().unwrap(), &opts).unwrap() else { panic!("tensors expected") };
    assert_eq!((clip.frames, clip.shape.clone()), (2, vec![2, 3]));
    let frames: Vec<TensorFrame> = clip.map(Result::unwrap).collect();
    assert_eq!(frames[0].data, TensorData::F32(data[6..12].to_vec()));
    assert_eq!(frames[1].data, TensorData::F32(data[18..24].to_vec()));
    assert!(error(npy::write(&path, &[5], &data)).contains("does not fit"));
    let opts = Options { noise: Some(Noise { sigma: 1.0, seed: 0 }), ..Default::default() };
    assert!(error(Source::open(path.to_str().unwrap(), &opts)).contains("noise"));
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert!(error(npy::read(&path)).contains("cut off"));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn integer_arrays_are_codes_and_other_kinds_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let header = |descr: &str, order: &str, shape: &str| {
        let dict = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
        [b"\x93NUMPY\x01\x00".as_slice(), &(dict.len() as u16).to_le_bytes(), dict.as_bytes()].concat()
    };
    let open = |bytes: Vec<u8>| {
        let path = dir.path().join("a.npy");
        std::fs::write(&path, bytes).unwrap();
        Source::open(path.to_str().unwrap(), &Options::default())
    };
    let Source::Tensors(mut clip) = open([header("|i1", "False", "(2, 2)"), vec![1, 255, 128, 0]].concat()).unwrap() else {
        panic!("tensors expected")
    };
    assert_eq!(clip.next().unwrap().unwrap().data, TensorData::I8(vec![1, -1]));
    assert!(error(open(header("<f8", "False", "(0, 2)"))).contains("<f8"));
    assert!(error(open([header("|u1", "True", "(2, 2)"), vec![0; 4]].concat())).contains("Fortran"));
    assert!(error(open(header("|u1", "False", "(0, 2)"))).contains("no frames"));
    assert!(error(open(header("|u1", "False", "(4294967296, 4294967296, 4)"))).contains("too large"));
    assert!(error(open(header("|u1", "False", "(1000, 2)"))).contains("cut off"));
}

fn stretch(width: usize, height: usize, channels: usize) -> Fit {
    Fit { width, height, mode: Mode::Stretch, channels }
}

#[test]
fn resize_to_the_same_size_changes_nothing() {
    for c in [1, 3] {
        let frame = picture(17, 11, c, 3);
        assert_eq!(stretch(17, 11, c).plan(17, 11).unwrap().apply(&frame).unwrap(), frame);
    }
}

#[test]
fn constants_stay_and_means_are_kept() {
    for (w, h) in [(416, 416), (7, 5), (1, 1), (1000, 300), (640, 100)] {
        let out = stretch(w, h, 3).plan(640, 360).unwrap().apply(&Frame::filled(640, 360, 3, 255)).unwrap();
        assert!(out.data.iter().all(|&v| v == 255), "{w}x{h}");
    }
    let frame = picture(640, 360, 1, 0);
    let mean = |f: &Frame| f.data.iter().map(|&v| v as f64).sum::<f64>() / f.data.len() as f64;
    for (w, h) in [(416, 234), (100, 99), (1, 1), (639, 359)] {
        let out = stretch(w, h, 1).plan(640, 360).unwrap().apply(&frame).unwrap();
        assert!((mean(&out) - mean(&frame)).abs() < 0.6, "{w}x{h}");
    }
}

/// The definition in f64: area average where an axis shrinks, linear where it grows.
fn reference(frame: &Frame, m: (usize, usize), c: usize) -> Vec<f64> {
    let weight = |n: usize, m: usize, i: usize, k: usize| -> f64 {
        let f = n as f64 / m as f64;
        if m <= n {
            let (a, b) = (i as f64 * f, (i + 1) as f64 * f);
            ((k + 1) as f64).min(b).max(a) / f - (k as f64).max(a).min(b) / f
        } else {
            let centre = ((i as f64 + 0.5) * f - 0.5).clamp(0.0, n as f64 - 1.0);
            (1.0 - (centre - k as f64).abs()).max(0.0)
        }
    };
    let mut out = Vec::new();
    for y in 0..m.1 {
        for x in 0..m.0 {
            for ch in 0..c {
                let mut sum = 0.0;
                for sy in 0..frame.h {
                    for sx in 0..frame.w {
                        let v = frame.data[(sy * frame.w + sx) * c + ch] as f64;
                        sum += weight(frame.h, m.1, y, sy) * weight(frame.w, m.0, x, sx) * v;
                    }
                }
                out.push(sum);
            }
        }
    }
    out
}

#[test]
fn resize_matches_its_definition() {
    for (w, h, mw, mh) in [(20, 12, 13, 9), (20, 12, 33, 9), (9, 9, 20, 31), (16, 8, 4, 2), (5, 7, 5, 3), (1, 1, 3, 3)] {
        for c in [1, 3] {
            let frame = picture(w, h, c, 1);
            let out = stretch(mw, mh, c).plan(w, h).unwrap().apply(&frame).unwrap();
            for (a, b) in out.data.iter().zip(reference(&frame, (mw, mh), c)) {
                assert!((*a as f64 - b).abs() < 0.52, "{w}x{h} to {mw}x{mh}: {a} for {b}");
            }
        }
    }
}

#[test]
fn letterbox_geometry_and_boxes_back() {
    let fit = |anchor| Fit { width: 416, height: 416, mode: Mode::Letterbox { pad: 114, anchor }, channels: 3 };
    let frame = Frame::filled(640, 360, 3, 10);
    let mut resize = fit(Anchor::TopLeft).plan(640, 360).unwrap();
    let out = resize.apply(&frame).unwrap();
    let at = |out: &Frame, x: usize, y: usize| out.data[(y * 416 + x) * 3];
    assert_eq!((at(&out, 415, 233), at(&out, 0, 234), at(&out, 415, 415)), (10, 114, 114));
    let map = resize.map();
    let b = map.to_frame(map.to_model([64.0, 36.0, 320.0, 180.0]));
    assert!(b.iter().zip([64.0, 36.0, 320.0, 180.0]).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-3));
    assert_eq!(map.to_frame([-5.0, 0.0, 416.0, 400.0]), [0.0, 0.0, 640.0, 360.0]);
    let mut resize = fit(Anchor::Center).plan(360, 640).unwrap();
    let out = resize.apply(&Frame::filled(360, 640, 3, 10)).unwrap();
    assert_eq!((at(&out, 90, 0), at(&out, 91, 0), at(&out, 324, 415), at(&out, 325, 0)), (114, 10, 10, 114));
    assert_eq!(resize.map().offset, (91.0, 0.0));
}

#[test]
fn channels_change_with_the_resize() {
    let frame = picture(10, 8, 3, 0);
    let grey = stretch(10, 8, 1).plan(10, 8).unwrap().apply(&frame).unwrap();
    assert_eq!(grey, frame.with_channels(1));
    let back = stretch(10, 8, 3).plan(10, 8).unwrap().apply(&grey).unwrap();
    assert_eq!(back, grey.with_channels(3));
    assert!(error(stretch(10, 8, 2).plan(10, 8)).contains("2 channels"));
    assert!(error(stretch(10, 8, 3).plan(9, 8).unwrap().apply(&frame)).contains("9x8"));
}
