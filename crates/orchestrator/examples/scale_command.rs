//! A scaling command as the backend `exec` runs it, here on a file in place of a real system:
//! `scale_command STATE_FILE apply|observe`.
//!
//! `apply` reads the order from standard input and carries it out; exit 75 asks to be tried again.
//! `observe` prints the state. A state file `{"replicas": 3, "busy": 2}` refuses two orders first.

use std::io::{Read, Write};
use std::process::ExitCode;

use serde_json::{Value, json};

/// `EX_TEMPFAIL`: try again.
const TRY_AGAIN: u8 = 75;

fn main() -> ExitCode {
    match run() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // What goes to standard error ends up in the decision's record.
            drop(writeln!(std::io::stderr(), "{error}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<u8, Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(deed)) = (arguments.next(), arguments.next()) else {
        return Err("usage: scale_command STATE_FILE apply|observe".into());
    };
    let mut state: Value = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
    if deed == "observe" {
        writeln!(std::io::stdout(), "{state}")?;
        return Ok(0);
    }
    let mut order = String::new();
    std::io::stdin().read_to_string(&mut order)?;
    let order: Value = serde_json::from_str(&order)?;
    let busy = state["busy"].as_u64().unwrap_or(0);
    let code = if busy > 0 {
        state["busy"] = json!(busy - 1);
        TRY_AGAIN
    } else {
        carry_out(&mut state, &order["action"])?;
        0
    };
    std::fs::write(&path, state.to_string())?;
    Ok(code)
}

fn carry_out(state: &mut Value, action: &Value) -> Result<(), String> {
    if let Some(to) = action.pointer("/replicas/to") {
        state["replicas"] = to.clone();
        return Ok(());
    }
    let resources = action.get("resources").ok_or("an order without an action")?;
    for figure in ["cpu_millis", "memory_bytes"] {
        if !resources[figure].is_null() {
            state[figure] = resources[figure].clone();
        }
    }
    Ok(())
}
