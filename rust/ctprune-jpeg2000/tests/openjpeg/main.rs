//! Every value equals OpenJPEG's, and without loss the one that was encoded.

mod codec;
mod hostile;
mod ht;

use codec::{Picture, decode, encode};
use ctprune_jpeg2000::Decoder;
use openjpeg_sys::{PROG_ORDER, opj_cparameters_t};

fn decoded(codestream: &[u8], rows: usize, columns: usize, precision: u32) -> Vec<u8> {
    let mut target = vec![0; rows * columns * if precision > 8 { 2 } else { 1 }];
    Decoder::default()
        .decode(codestream, (rows, columns), &mut target)
        .unwrap();
    target
}

fn check(name: &str, picture: &Picture, corner: (u32, u32), change: impl Fn(&mut opj_cparameters_t)) {
    let codestream = encode(picture, corner, change);
    let ours = decoded(&codestream, picture.rows, picture.columns, picture.precision);
    let theirs = decode(&codestream).bytes();
    let wrong = ours.iter().zip(&theirs).filter(|(a, b)| a != b).count();
    assert_eq!(ours.len(), theirs.len(), "{name}");
    assert!(
        wrong == 0,
        "{name}: {wrong} of {} bytes are not OpenJPEG's",
        ours.len()
    );
}

fn check_lossless(
    name: &str,
    picture: &Picture,
    corner: (u32, u32),
    change: impl Fn(&mut opj_cparameters_t),
) {
    check(name, picture, corner, &change);
    let codestream = encode(picture, corner, change);
    let ours = decoded(&codestream, picture.rows, picture.columns, picture.precision);
    assert!(ours == picture.bytes(), "{name}: not the values encoded");
}

fn slice() -> Picture {
    Picture::new(150, 133, 12, false)
}

const PROGRESSIONS: [PROG_ORDER; 5] = [
    PROG_ORDER::OPJ_LRCP,
    PROG_ORDER::OPJ_RLCP,
    PROG_ORDER::OPJ_RPCL,
    PROG_ORDER::OPJ_PCRL,
    PROG_ORDER::OPJ_CPRL,
];

fn layered(parameters: &mut opj_cparameters_t) {
    parameters.tcp_numlayers = 3;
    parameters.tcp_rates[..3].copy_from_slice(&[20.0, 6.0, 0.0]);
}

/// The first layer of the lower levels, then all layers of all but the highest, then the rest, each in another order.
fn changes_of_order(parameters: &mut opj_cparameters_t) {
    layered(parameters);
    let changes = [
        (0, 3, 1, PROG_ORDER::OPJ_LRCP),
        (0, 5, 3, PROG_ORDER::OPJ_RPCL),
        (2, 6, 3, PROG_ORDER::OPJ_PCRL),
    ];
    parameters.numpocs = changes.len() as u32;
    for (poc, (start, end, layers, order)) in parameters.POC.iter_mut().zip(changes) {
        (poc.resno0, poc.resno1, poc.layno1, poc.prg1) = (start, end, layers, order);
        (poc.compno0, poc.compno1, poc.tile) = (0, 1, 1);
    }
}

fn precincts(parameters: &mut opj_cparameters_t) {
    parameters.csty |= 1;
    parameters.res_spec = 2;
    parameters.prcw_init[..2].copy_from_slice(&[64, 32]);
    parameters.prch_init[..2].copy_from_slice(&[32, 64]);
    (parameters.cblockw_init, parameters.cblockh_init) = (16, 32);
}

fn tiles(parameters: &mut opj_cparameters_t) {
    parameters.tile_size_on = 1;
    (parameters.cp_tx0, parameters.cp_ty0) = (3, 5);
    (parameters.cp_tdx, parameters.cp_tdy) = (50, 61);
}

#[test]
fn all_depths_of_samples() {
    for precision in 1..=16 {
        for signed in [false, true] {
            let picture = Picture::new(40, 37, precision, signed);
            check_lossless(&format!("{precision} bits"), &picture, (0, 0), |_| {});
        }
    }
}

#[test]
fn all_small_shapes_and_corners() {
    for (rows, columns) in [(1usize, 1usize), (1, 9), (9, 1), (2, 2), (3, 5), (5, 4), (17, 33)] {
        for corner in [(0, 0), (1, 0), (0, 1), (7, 3)] {
            // OpenJPEG writes no more levels than the shorter side has room for.
            let most = rows.min(columns).ilog2() as i32 + 1;
            for levels in 1..=most {
                let picture = Picture::new(rows, columns, 12, false);
                let name = format!("{rows} × {columns} at {corner:?} in {levels}");
                check_lossless(&name, &picture, corner, |p| p.numresolution = levels);
                check(&name, &picture, corner, |p| {
                    p.numresolution = levels;
                    p.irreversible = 1;
                });
            }
        }
    }
}

#[test]
fn all_progressions_with_layers_precincts_and_tiles() {
    for progression in PROGRESSIONS {
        for irreversible in [0, 1] {
            let change = |p: &mut opj_cparameters_t| {
                p.prog_order = progression;
                p.irreversible = irreversible;
                layered(p);
                precincts(p);
            };
            let name = format!("{progression:?}");
            check(&name, &slice(), (0, 0), change);
            check(&name, &slice(), (11, 6), |p| {
                change(p);
                tiles(p);
                // SOP and EPH markers.
                p.csty |= 6;
            });
        }
    }
}

#[test]
fn changes_of_the_progression_order() {
    for irreversible in [0, 1] {
        let change = |p: &mut opj_cparameters_t| {
            changes_of_order(p);
            p.irreversible = irreversible;
        };
        check("three orders", &slice(), (0, 0), change);
        check("three orders, precincts", &slice(), (5, 3), |p| {
            change(p);
            precincts(p);
        });
    }
}

#[test]
fn regions_of_interest() {
    for (precision, shift) in [(8, 12), (8, 15), (4, 8)] {
        let picture = Picture::new(40, 37, precision, false);
        let name = format!("{precision} bits raised by {shift}");
        check_lossless(&name, &picture, (0, 0), |p| p.roi_shift = shift);
        check(&name, &picture, (0, 0), |p| {
            p.roi_shift = shift;
            p.irreversible = 1;
            layered(p);
        });
    }
}

#[test]
fn all_styles_of_code_blocks() {
    // Bypass, reset, termination, causal, predictable termination, segmentation symbols.
    for mode in 0..64 {
        let name = format!("mode {mode}");
        check_lossless(&name, &slice(), (0, 0), |p| p.mode = mode);
        check(&name, &slice(), (0, 0), |p| {
            p.mode = mode;
            layered(p);
            p.irreversible = 1;
            (p.cblockw_init, p.cblockh_init) = (32, 128);
        });
    }
}

#[test]
fn all_shapes_of_code_blocks() {
    for (width, height) in [(4, 4), (4, 1024), (1024, 4), (64, 64), (8, 256)] {
        let name = format!("blocks of {width} × {height}");
        check_lossless(&name, &slice(), (0, 0), |p| {
            (p.cblockw_init, p.cblockh_init) = (width, height);
        });
    }
}

#[test]
fn streams_cut_at_any_rate() {
    for rate in [2.0, 5.0, 11.0, 40.0, 300.0] {
        for irreversible in [0, 1] {
            check(&format!("1 : {rate}"), &slice(), (0, 0), |p| {
                p.tcp_rates[0] = rate;
                p.irreversible = irreversible;
            });
        }
    }
}
