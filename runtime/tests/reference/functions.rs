//! The functions of docs/numerics.md, one f32 operation after another.

/// `x > lo ? x : lo`, then `x < hi ? x : hi`.
pub fn clamp(x: f32, lo: f32, hi: f32) -> f32 {
    let x = if x > lo { x } else { lo };
    if x < hi { x } else { hi }
}

/// To the nearest even integer, of numbers in the codes' range.
pub fn rne(x: f32) -> f32 {
    x.round_ties_even()
}

pub fn exp(x: f32) -> f32 {
    let x = clamp(x, -87.0, 88.0);
    let n = rne(x * std::f32::consts::LOG2_E);
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let horner = [0.008_333_334, 0.041_666_666, 0.166_666_66, 0.5, 1.0, 1.0];
    let p = horner.iter().fold(0.001_388_888_9f32, |p, k| p * r + k);
    p * f32::from_bits(((n as i32 + 127) as u32) << 23)
}

pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

fn log(x: f32) -> f32 {
    let x = if x > f32::MIN_POSITIVE { x } else { f32::MIN_POSITIVE };
    let (mut m, mut e) = (f32::from_bits(x.to_bits() & 0x007f_ffff | 0x3f80_0000), (x.to_bits() >> 23) as i32 - 127);
    if m >= std::f32::consts::SQRT_2 {
        (m, e) = (m * 0.5, e + 1);
    }
    let t = (m - 1.0) / (m + 1.0);
    let s = t * t;
    let series = [2.0f32 / 7.0, 2.0 / 5.0, 2.0 / 3.0, 2.0].iter().fold(2.0f32 / 9.0, |p, k| p * s + k);
    t * series + e as f32 * std::f32::consts::LN_2
}

fn sqrt(x: f32) -> f32 {
    if x <= 0.0 {
        return 0.0;
    }
    let mut r = f32::from_bits(0x5f37_59df - (x.to_bits() >> 1));
    for _ in 0..3 {
        r = r * (1.5 - 0.5 * x * r * r);
    }
    let y = x * r;
    0.5 * (y + x / y)
}

/// One operand, by the code of the function; `p` its parameters, `slope` the channel's.
pub fn map(function: u32, x: f32, p: [f32; 2], slope: f32) -> f32 {
    match function {
        0 => x,
        1 => sigmoid(x),
        2 => exp(x),
        3 => 2.0 * sigmoid(2.0 * x) - 1.0,
        4 => x * sigmoid(x),
        5 if x < 0.0 => p[0] * x,
        6 => clamp(x * p[0] + p[1], 0.0, 1.0),
        7 => x * clamp(x * (1.0 / 6.0) + 0.5, 0.0, 1.0),
        8 => sqrt(x),
        9 => 1.0 / x,
        10 => x.abs(),
        11 => -x,
        12 => log(x),
        13 if x < 0.0 => slope * x,
        5 | 13 => x,
        _ => panic!("function {function}"),
    }
}

/// Two operands.
pub fn binary(function: u32, a: f32, b: f32) -> f32 {
    match function {
        0 => a + b,
        1 => a - b,
        2 => a * b,
        3 => a / b,
        4 => {
            if a < b {
                a
            } else {
                b
            }
        }
        5 => {
            if a > b {
                a
            } else {
                b
            }
        }
        _ => panic!("function {function}"),
    }
}
