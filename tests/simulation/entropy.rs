//! No random numbers from the kernel: everything that asks for them in this program, such as the keys of hash maps and
//! tokio's choice among branches that are ready, gets the same ones at every start. So one process that runs one seed
//! always does the same.

use std::ffi::{c_uint, c_void};

/// Takes the place of the C library's function, as the standard library provides for.
///
/// # Safety
/// `buffer` is valid for writes of `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut c_void, length: usize, _flags: c_uint) -> isize {
    // SAFETY: the caller says so.
    unsafe { std::ptr::write_bytes(buffer.cast::<u8>(), 0x5a, length) };
    isize::try_from(length).unwrap_or(isize::MAX)
}
