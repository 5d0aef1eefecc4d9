//! Pure parts only; what needs the kernel is in the lab tier.

use super::read::comment;

#[test]
fn a_comment_is_found_behind_other_user_data_and_no_cut_panics() {
    let userdata = [1, 2, 7, 7, 0, 3, b'h', b'i', 0];
    assert_eq!(comment(&userdata).as_deref(), Some("hi"));
    for cut in 0..userdata.len() {
        let _ = comment(&userdata[..cut]);
    }
    assert_eq!(comment(&[0, 200, 1]), None);
}
