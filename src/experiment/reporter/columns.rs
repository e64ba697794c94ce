//! Width of a terminal.

use std::os::fd::AsFd;

/// Returns the number of columns if `output` is a terminal that knows it. One on a serial line does not.
pub fn columns(output: impl AsFd) -> Option<u16> {
    let size = rustix::termios::tcgetwinsize(output).ok()?;
    (size.ws_col > 0).then_some(size.ws_col)
}

#[cfg(test)]
mod tests {
    use std::io::pipe;

    use nix::pty::{Winsize, openpty};

    use super::*;

    #[test]
    fn a_terminal_without_a_size_has_no_known_width() {
        let terminal = |ws_col| {
            let size = Winsize {
                ws_row: 24,
                ws_col,
                ws_xpixel: 0,
                ws_ypixel: 0,
            };
            openpty(&size, None).unwrap()
        };
        assert_eq!(columns(&terminal(72).slave), Some(72));
        assert_eq!(columns(&terminal(0).slave), None);
        assert_eq!(columns(pipe().unwrap().1), None);
    }
}
