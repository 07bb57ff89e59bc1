//! Statements: prepare, bind, define, execute, fetch.

use std::ffi::{c_char, c_void};
use std::sync::Mutex;

use super::answer;
use super::sessions::text;
use crate::attributes;
use crate::bind::Buffers;
use crate::error::{Failure, Status};
use crate::execute::{self, BindName, Statement};
use crate::fetch;
use crate::handles::{self, Handle, lock};
use crate::memory::{Address, DefineCallback, InCallback, OutCallback};

/// `OCIStmtPrepare2`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCIStmtPrepare2(
    service: *mut c_void,
    statement: *mut *mut c_void,
    errors: *mut c_void,
    sql: *const c_char,
    len: u32,
    _key: *const c_char,
    _key_len: u32,
    _language: u32,
    _mode: u32,
) -> i32 {
    // SAFETY: points at `len` bytes.
    let sql = unsafe { text(sql, usize::try_from(len).unwrap_or(0)) };
    // SAFETY: points at a pointer.
    let statement = unsafe { Address::new(statement) };
    answer(errors, || {
        let made = Statement::new(handles::service(service)?, sql);
        statement.write(handles::enter(vec![Handle::Statement(Mutex::new(made))]));
        Ok(Status::Success)
    })
}

/// `OCIStmtRelease`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCIStmtRelease(
    statement: *mut c_void,
    errors: *mut c_void,
    _key: *const c_char,
    _key_len: u32,
    _mode: u32,
) -> i32 {
    answer(errors, || {
        let freed = handles::free(statement as usize)?;
        if let Handle::Statement(statement) = &*freed {
            lock(statement).release();
        }
        Ok(Status::Success)
    })
}

/// Buffers as the client describes them.
///
/// # Safety
/// The pointers are null, or point at as many values as the statement is executed for.
unsafe fn buffers(
    value: *const c_void,
    size: usize,
    external: u16,
    (indicator, len, code): (*const c_void, *const u32, *const u16),
) -> Buffers {
    Buffers {
        // SAFETY: as this function's own.
        value: unsafe { Address::new(value) },
        size,
        external,
        // SAFETY: as this function's own.
        indicator: unsafe { Address::new(indicator) },
        // SAFETY: as this function's own.
        len: unsafe { Address::new(len) },
        // SAFETY: as this function's own.
        code: unsafe { Address::new(code) },
    }
}

fn bind(
    (statement, errors): (*const c_void, *const c_void),
    handle: Address,
    name: &BindName,
    buffers: Buffers,
) -> i32 {
    answer(errors, || {
        let number = handles::with_statement(statement, |statement| statement.bind(name, buffers))?;
        handle.write(number);
        Ok(Status::Success)
    })
}

/// `OCIBindByName2`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCIBindByName2(
    statement: *mut c_void,
    handle: *mut *mut c_void,
    errors: *mut c_void,
    name: *const c_char,
    name_len: i32,
    value: *mut c_void,
    size: i64,
    external: u16,
    indicator: *mut c_void,
    len: *mut u32,
    code: *mut u16,
    _array_max: u32,
    _array_len: *mut u32,
    _mode: u32,
) -> i32 {
    // SAFETY: points at `name_len` bytes.
    let name = unsafe { text(name, usize::try_from(name_len).unwrap_or(0)) };
    let size = usize::try_from(size).unwrap_or(0);
    // SAFETY: the client's buffers, valid until the statement is bound anew.
    let buffers = unsafe { buffers(value, size, external, (indicator, len, code)) };
    // SAFETY: points at a pointer.
    let handle = unsafe { Address::new(handle) };
    bind((statement, errors), handle, &BindName::Name(name), buffers)
}

/// `OCIBindByPos2`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCIBindByPos2(
    statement: *mut c_void,
    handle: *mut *mut c_void,
    errors: *mut c_void,
    position: u32,
    value: *mut c_void,
    size: i64,
    external: u16,
    indicator: *mut c_void,
    len: *mut u32,
    code: *mut u16,
    _array_max: u32,
    _array_len: *mut u32,
    _mode: u32,
) -> i32 {
    let size = usize::try_from(size).unwrap_or(0);
    // SAFETY: the client's buffers, valid until the statement is bound anew.
    let buffers = unsafe { buffers(value, size, external, (indicator, len, code)) };
    // SAFETY: points at a pointer.
    let handle = unsafe { Address::new(handle) };
    let position = BindName::Position(usize::try_from(position).unwrap_or(0));
    bind((statement, errors), handle, &position, buffers)
}

/// `OCIBindDynamic`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCIBindDynamic(
    handle: *mut c_void,
    errors: *mut c_void,
    input_context: *mut c_void,
    input: Option<InCallback>,
    output_context: *mut c_void,
    output: Option<OutCallback>,
) -> i32 {
    // SAFETY: handed back to the client's function, never followed here.
    let input_context = unsafe { Address::new(input_context) };
    // SAFETY: handed back to the client's function, never followed here.
    let output_context = unsafe { Address::new(output_context) };
    answer(errors, || {
        let input = input.map(|function| (function, input_context));
        let output = output.map(|function| (function, output_context));
        attributes::set_dynamic(handle, input, output)
    })
}

/// `OCIDefineByPos2`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCIDefineByPos2(
    statement: *mut c_void,
    handle: *mut *mut c_void,
    errors: *mut c_void,
    position: u32,
    value: *mut c_void,
    size: u64,
    external: u16,
    indicator: *mut c_void,
    len: *mut u32,
    code: *mut u16,
    _mode: u32,
) -> i32 {
    let size = usize::try_from(size).unwrap_or(0);
    // SAFETY: the client's buffers, valid until the column is defined anew.
    let buffers = unsafe { buffers(value, size, external, (indicator, len, code)) };
    // SAFETY: points at a pointer.
    let handle = unsafe { Address::new(handle) };
    answer(errors, || {
        let position = usize::try_from(position).unwrap_or(0);
        let number =
            handles::with_statement(
                statement,
                |statement| Ok(statement.define(position, buffers)),
            )?;
        handle.write(number);
        Ok(Status::Success)
    })
}

/// `OCIDefineDynamic`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCIDefineDynamic(
    handle: *mut c_void,
    errors: *mut c_void,
    context: *mut c_void,
    function: Option<DefineCallback>,
) -> i32 {
    // SAFETY: handed back to the client's function, never followed here.
    let context = unsafe { Address::new(context) };
    answer(errors, || match &*handles::find(handle)? {
        Handle::Define(define) => {
            lock(define).callback = function.map(|function| (function, context));
            Ok(Status::Success)
        }
        _ => Err(Failure::InvalidHandle),
    })
}

/// `OCIStmtExecute`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCIStmtExecute(
    _service: *mut c_void,
    statement: *mut c_void,
    errors: *mut c_void,
    iterations: u32,
    _row_offset: u32,
    _snapshot_in: *const c_void,
    _snapshot_out: *mut c_void,
    mode: u32,
) -> i32 {
    answer(errors, || {
        handles::with_statement(statement, |statement| {
            execute::execute(statement, iterations, mode, errors)
        })
    })
}

/// `OCIStmtFetch2`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCIStmtFetch2(
    statement: *mut c_void,
    errors: *mut c_void,
    count: u32,
    orientation: u16,
    _offset: i32,
    _mode: u32,
) -> i32 {
    answer(errors, || {
        handles::with_statement(statement, |statement| fetch::fetch(statement, count, orientation))
    })
}

/// `OCIStmtGetBindInfo`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCIStmtGetBindInfo(
    statement: *mut c_void,
    errors: *mut c_void,
    size: u32,
    start: u32,
    found: *mut i32,
    names: *mut *mut c_char,
    name_lens: *mut u8,
    indicators: *mut *mut c_char,
    indicator_lens: *mut u8,
    repeated: *mut u8,
    handles_at: *mut *mut c_void,
) -> i32 {
    // SAFETY: points at an `int`.
    let found = unsafe { Address::new(found) };
    // SAFETY: points at `size` pointers.
    let names = unsafe { Address::new(names) };
    // SAFETY: points at `size` bytes.
    let name_lens = unsafe { Address::new(name_lens) };
    // SAFETY: points at `size` pointers.
    let indicators = unsafe { Address::new(indicators) };
    // SAFETY: points at `size` bytes.
    let indicator_lens = unsafe { Address::new(indicator_lens) };
    // SAFETY: points at `size` bytes.
    let repeated = unsafe { Address::new(repeated) };
    // SAFETY: points at `size` pointers.
    let handles_at = unsafe { Address::new(handles_at) };
    let mut write = |index: usize, name: &str, is_repeated: bool, handle: usize| {
        let pointer = index * size_of::<usize>();
        // The name lives as long as its statement.
        names.offset(pointer).write(name.as_ptr() as usize);
        name_lens.offset(index).write(u8::try_from(name.len()).unwrap_or(u8::MAX));
        indicators.offset(pointer).write(0_usize);
        indicator_lens.offset(index).write(0_u8);
        repeated.offset(index).write(u8::from(is_repeated));
        handles_at.offset(pointer).write(handle);
    };
    answer(errors, || {
        let count = attributes::bind_names(statement, (size, start), &mut write)?;
        found.write(count);
        Ok(if count == 0 { Status::NoData } else { Status::Success })
    })
}

/// `OCIStmtGetNextResult`: implicit results are not imitated, and there are none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OCIStmtGetNextResult(
    statement: *mut c_void,
    errors: *mut c_void,
    _result: *mut *mut c_void,
    _kind: *mut u32,
    _mode: u32,
) -> i32 {
    answer(errors, || handles::find(statement).map(|_| Status::NoData))
}
