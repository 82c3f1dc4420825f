//! A baked model behind two C functions, `model.h`: engine, arena and kernels are the library's own. For models that take codes.
#![cfg_attr(target_os = "none", no_std)]

use core::slice;

use quiescent::kernels;
use quiescent::{Engine, Frame};

/// Made by `quiescent bake MODEL.qsc -o DIR`; `QUIESCENT_BAKED` is DIR/NAME, from `/` on.
#[allow(dead_code)]
mod baked {
    include!(concat!(env!("QUIESCENT_BAKED"), ".rs"));
}

const _: () = assert!(baked::INPUT_CODES, "model_step takes codes; this model takes reals");

#[cfg(target_os = "none")]
static KERNELS: kernels::Kernels = kernels::BEST.only(baked::OPS, baked::GATES);

static mut ARENA: baked::Aligned<[u8; baked::ARENA_BYTES]> = baked::Aligned([0; baked::ARENA_BYTES]);
static mut ENGINE: Option<Engine> = None;

/// See `model.h`.
///
/// # Safety
/// Called once, before `model_step`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn model_load() -> bool {
    #[cfg(target_os = "none")]
    let kernels = &KERNELS;
    #[cfg(not(target_os = "none"))]
    let kernels = kernels::best();
    // SAFETY: the only references to both, as the caller says.
    let (arena, engine) = unsafe { (&mut (*&raw mut ARENA).0, &mut *&raw mut ENGINE) };
    *engine = baked::MODEL.proven().ok().and_then(|model| Engine::new(model, arena, kernels).ok());
    engine.is_some()
}

/// See `model.h`.
///
/// # Safety
/// `frame` has the bytes of a frame, `values` room for `room` values. One call at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn model_step(frame: *const u8, values: *mut f32, room: usize) -> usize {
    // SAFETY: the only reference, as the caller says.
    let Some(engine) = (unsafe { &mut *&raw mut ENGINE }) else { return 0 };
    let [h, w, c] = baked::INPUT;
    // SAFETY: the caller's.
    let (frame, values) = unsafe { (slice::from_raw_parts(frame, h * w * c), slice::from_raw_parts_mut(values, room)) };
    let Ok(outputs) = engine.step(Frame::Pixels(frame)) else { return 0 };
    let mut done = 0;
    for output in outputs.iter() {
        let Some(to) = values.get_mut(done..done + output.len()) else { return 0 };
        output.read(to);
        done += output.len();
    }
    done
}

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
