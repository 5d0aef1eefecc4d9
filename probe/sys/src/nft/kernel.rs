//! Numbers of the kernel's `linux/netfilter/nf_tables.h` and `nf_tables_compat.h`, under the kernel's own names without
//! `NFTA_`. They are part of its binary interface and never change.

#![expect(
    missing_docs,
    reason = "the names are the kernel's, and its header is their documentation"
)]

/// `NFNL_SUBSYS_NFTABLES`, the upper octet of every message type.
pub(super) const SUBSYSTEM: u16 = 10;

/// The message type of an `NFT_MSG_*`.
pub(super) const fn message_type(message: u16) -> u16 {
    SUBSYSTEM << 8 | message
}

pub(super) const BATCH_BEGIN: u16 = 0x10;
pub(super) const BATCH_END: u16 = 0x11;
pub(super) const MSG_NEWTABLE: u16 = 0;
pub(super) const MSG_GETTABLE: u16 = 1;
pub(super) const MSG_DELTABLE: u16 = 2;
pub(super) const MSG_NEWCHAIN: u16 = 3;
pub(super) const MSG_GETCHAIN: u16 = 4;
pub(super) const MSG_NEWRULE: u16 = 6;
pub(super) const MSG_GETRULE: u16 = 7;
pub(super) const MSG_GETSET: u16 = 10;
pub(super) const MSG_GETSETELEM: u16 = 13;
pub(super) const MSG_GETGEN: u16 = 16;

pub(super) const LIST_ELEM: u16 = 1;
pub(super) const GEN_ID: u16 = 1;
pub(super) const HOOK_HOOKNUM: u16 = 1;
pub(super) const HOOK_PRIORITY: u16 = 2;
pub(super) const HOOK_DEV: u16 = 3;
pub(super) const HOOK_DEVS: u16 = 4;
pub(super) const DEVICE_NAME: u16 = 1;
pub(super) const TABLE_NAME: u16 = 1;
pub(super) const TABLE_FLAGS: u16 = 2;
pub(super) const CHAIN_TABLE: u16 = 1;
pub(super) const CHAIN_NAME: u16 = 3;
pub(super) const CHAIN_HOOK: u16 = 4;
pub(super) const CHAIN_POLICY: u16 = 5;
pub(super) const CHAIN_TYPE: u16 = 7;
pub(super) const RULE_TABLE: u16 = 1;
pub(super) const RULE_CHAIN: u16 = 2;
pub(super) const RULE_HANDLE: u16 = 3;
pub(super) const RULE_EXPRESSIONS: u16 = 4;
pub(super) const RULE_USERDATA: u16 = 7;
pub(super) const SET_TABLE: u16 = 1;
pub(super) const SET_NAME: u16 = 2;
pub(super) const SET_FLAGS: u16 = 3;
pub(super) const SET_KEY_LEN: u16 = 5;
pub(super) const SET_DESC: u16 = 9;
pub(super) const SET_DESC_CONCAT: u16 = 2;
pub(super) const SET_FIELD_LEN: u16 = 1;
pub(super) const ELEMENTS_TABLE: u16 = 1;
pub(super) const ELEMENTS_SET: u16 = 2;
pub(super) const ELEMENTS_ELEMENTS: u16 = 3;
pub(super) const ELEMENT_KEY: u16 = 1;
pub(super) const ELEMENT_DATA: u16 = 2;
pub(super) const ELEMENT_FLAGS: u16 = 3;
pub(super) const ELEMENT_EXPR: u16 = 7;
pub(super) const ELEMENT_KEY_END: u16 = 10;
pub(super) const ELEMENT_EXPRESSIONS: u16 = 11;
pub(super) const EXPR_NAME: u16 = 1;
pub(super) const EXPR_DATA: u16 = 2;
pub(super) const DATA_VALUE: u16 = 1;
pub(super) const DATA_VERDICT: u16 = 2;
pub(super) const VERDICT_CODE: u16 = 1;
pub(super) const VERDICT_CHAIN: u16 = 2;
/// A rule's comment inside its user data, whose layout libnftnl defines: type, length, value.
pub(super) const USERDATA_COMMENT: u8 = 0;

/// `NFT_TABLE_F_DORMANT`.
pub const TABLE_F_DORMANT: u32 = 1;

pub const META_DREG: u16 = 1;
pub const META_KEY: u16 = 2;
pub const META_SREG: u16 = 3;
pub const PAYLOAD_DREG: u16 = 1;
pub const PAYLOAD_BASE: u16 = 2;
pub const PAYLOAD_OFFSET: u16 = 3;
pub const PAYLOAD_LEN: u16 = 4;
pub const PAYLOAD_SREG: u16 = 5;
pub const CMP_SREG: u16 = 1;
pub const CMP_OP: u16 = 2;
pub const CMP_DATA: u16 = 3;
pub const RANGE_SREG: u16 = 1;
pub const RANGE_OP: u16 = 2;
pub const RANGE_FROM_DATA: u16 = 3;
pub const RANGE_TO_DATA: u16 = 4;
pub const BITWISE_SREG: u16 = 1;
pub const BITWISE_DREG: u16 = 2;
pub const BITWISE_LEN: u16 = 3;
pub const BITWISE_MASK: u16 = 4;
pub const BITWISE_XOR: u16 = 5;
pub const BITWISE_OP: u16 = 6;
pub const BYTEORDER_SREG: u16 = 1;
pub const BYTEORDER_DREG: u16 = 2;
pub const BYTEORDER_OP: u16 = 3;
pub const BYTEORDER_LEN: u16 = 4;
pub const BYTEORDER_SIZE: u16 = 5;
pub const LOOKUP_SET: u16 = 1;
pub const LOOKUP_SREG: u16 = 2;
pub const LOOKUP_DREG: u16 = 3;
pub const LOOKUP_FLAGS: u16 = 5;
pub const DYNSET_SET_NAME: u16 = 1;
pub const DYNSET_EXPR: u16 = 7;
pub const DYNSET_FLAGS: u16 = 9;
pub const DYNSET_EXPRESSIONS: u16 = 10;
pub const IMMEDIATE_DREG: u16 = 1;
pub const IMMEDIATE_DATA: u16 = 2;
pub const CT_DREG: u16 = 1;
pub const CT_KEY: u16 = 2;
pub const CT_DIRECTION: u16 = 3;
pub const CT_SREG: u16 = 4;
pub const COUNTER_BYTES: u16 = 1;
pub const COUNTER_PACKETS: u16 = 2;
pub const REJECT_TYPE: u16 = 1;
pub const REJECT_ICMP_CODE: u16 = 2;
pub const NUMGEN_DREG: u16 = 1;
pub const NUMGEN_MODULUS: u16 = 2;
pub const NUMGEN_TYPE: u16 = 3;
pub const FIB_DREG: u16 = 1;
pub const FIB_RESULT: u16 = 2;
pub const FIB_FLAGS: u16 = 3;
pub const OBJREF_IMM_TYPE: u16 = 1;
pub const OBJREF_IMM_NAME: u16 = 2;
pub const NAT_TYPE: u16 = 1;
pub const NAT_FAMILY: u16 = 2;
pub const NAT_ADDRESS_SREG: u16 = 3;
pub const NAT_PORT_SREG: u16 = 5;
pub const CONNLIMIT_COUNT: u16 = 1;
pub const CONNLIMIT_FLAGS: u16 = 2;
pub const XT_NAME: u16 = 1;
pub const XT_REV: u16 = 2;
pub const XT_INFO: u16 = 3;

pub(super) const META_KEY_PROTOCOL: u32 = 1;
pub(super) const META_KEY_IIFNAME: u32 = 6;
pub(super) const META_KEY_OIFNAME: u32 = 7;
pub(super) const META_KEY_NFPROTO: u32 = 15;
pub(super) const META_KEY_L4PROTO: u32 = 16;
pub(super) const PAYLOAD_NETWORK: u32 = 1;
pub(super) const PAYLOAD_TRANSPORT: u32 = 2;
pub(super) const CMP_EQ: u32 = 0;
pub(super) const CMP_NEQ: u32 = 1;
pub(super) const CMP_LT: u32 = 2;
pub(super) const CMP_LTE: u32 = 3;
pub(super) const CMP_GTE: u32 = 5;
pub(super) const BYTEORDER_HTON: u32 = 1;
pub(super) const NUMGEN_RANDOM: u32 = 1;
pub(super) const REJECT_ICMP: u32 = 0;
pub(super) const REJECT_TCP_RST: u32 = 1;
/// `NFT_CT_STATE`.
pub(super) const CT_KEY_STATE: u32 = 0;
/// `NF_CT_STATE_BIT(IP_CT_NEW)`.
pub(super) const CT_STATE_NEW: u32 = 8;
/// `NFT_CONNLIMIT_F_INV`: matches above the count instead of up to it.
pub(super) const CONNLIMIT_OVER: u32 = 1;
pub(super) const NAT_SOURCE: u32 = 0;
pub(super) const NAT_DESTINATION: u32 = 1;
pub(super) const VERDICT_DROP: u32 = 0;
pub(super) const VERDICT_ACCEPT: u32 = 1;
/// The register that holds the verdict.
pub(super) const REGISTER_VERDICT: u32 = 0;
/// The first register for data.
pub(super) const REGISTER_1: u32 = 1;
/// The second.
pub(super) const REGISTER_2: u32 = 2;
