//! Rules of the calls that make sockets.

use super::{
    OTHER,
    rule::Rule,
    table::{Values, ints},
};

/// Protocols of `socket(AF_NETLINK, ...)`: `include/uapi/linux/netlink.h`.
const NETLINK: Values = &[
    ("AF_NETLINK,NETLINK_ROUTE", 0),
    ("AF_NETLINK,NETLINK_USERSOCK", 2),
    ("AF_NETLINK,NETLINK_SOCK_DIAG", 4),
    ("AF_NETLINK,NETLINK_XFRM", 6),
    ("AF_NETLINK,NETLINK_SELINUX", 7),
    ("AF_NETLINK,NETLINK_ISCSI", 8),
    ("AF_NETLINK,NETLINK_AUDIT", 9),
    ("AF_NETLINK,NETLINK_FIB_LOOKUP", 10),
    ("AF_NETLINK,NETLINK_CONNECTOR", 11),
    ("AF_NETLINK,NETLINK_NETFILTER", 12),
    ("AF_NETLINK,NETLINK_KOBJECT_UEVENT", 15),
    ("AF_NETLINK,NETLINK_GENERIC", 16),
    ("AF_NETLINK,NETLINK_SCSITRANSPORT", 18),
    ("AF_NETLINK,NETLINK_RDMA", 20),
    ("AF_NETLINK,NETLINK_CRYPTO", 21),
    ("AF_NETLINK,NETLINK_SMC", 22),
];

/// Address families: `include/linux/socket.h`. Frequent ones come first.
const FAMILIES: Values = &[
    ("AF_UNIX", 1),
    ("AF_INET", 2),
    ("AF_INET6", 10),
    ("AF_NETLINK", 16),
    ("AF_PACKET", 17),
    ("AF_ALG", 38),
    ("AF_VSOCK", 40),
    ("AF_BLUETOOTH", 31),
    ("AF_CAN", 29),
    ("AF_TIPC", 30),
    ("AF_RDS", 21),
    ("AF_XDP", 44),
    ("AF_KEY", 15),
    ("AF_UNSPEC", 0),
    ("AF_AX25", 3),
    ("AF_IPX", 4),
    ("AF_APPLETALK", 5),
    ("AF_NETROM", 6),
    ("AF_BRIDGE", 7),
    ("AF_ATMPVC", 8),
    ("AF_X25", 9),
    ("AF_ROSE", 11),
    ("AF_DECnet", 12),
    ("AF_NETBEUI", 13),
    ("AF_SECURITY", 14),
    ("AF_ASH", 18),
    ("AF_ECONET", 19),
    ("AF_ATMSVC", 20),
    ("AF_SNA", 22),
    ("AF_IRDA", 23),
    ("AF_PPPOX", 24),
    ("AF_WANPIPE", 25),
    ("AF_LLC", 26),
    ("AF_IB", 27),
    ("AF_MPLS", 28),
    ("AF_IUCV", 32),
    ("AF_RXRPC", 33),
    ("AF_ISDN", 34),
    ("AF_PHONET", 35),
    ("AF_IEEE802154", 36),
    ("AF_CAIF", 37),
    ("AF_NFC", 39),
    ("AF_KCM", 41),
    ("AF_QIPCRTR", 42),
    ("AF_SMC", 43),
    ("AF_MCTP", 45),
];

/// `SOCK_TYPE_MASK` and the types: `include/linux/net.h`.
const TYPE_MASK: u32 = 0xf;
const SOCK_DGRAM: u32 = 2;
const SOCK_RAW: u32 = 3;
const SOCK_PACKET: u32 = 10;

pub(super) fn socket() -> Vec<Rule> {
    let netlink = NETLINK.iter().map(|&(class, protocol)| Rule::int(0, class, 16).and(2, u32::MAX, protocol));
    let refined = [
        Rule::int(0, "AF_INET,SOCK_RAW", 2).and(1, TYPE_MASK, SOCK_RAW),
        Rule::int(0, "AF_INET,SOCK_PACKET", 2).and(1, TYPE_MASK, SOCK_PACKET),
        Rule::int(0, "AF_INET6,SOCK_RAW", 10).and(1, TYPE_MASK, SOCK_RAW),
    ];
    let packet = [
        Rule::int(0, "AF_PACKET,SOCK_RAW", 17).and(1, TYPE_MASK, SOCK_RAW),
        Rule::int(0, "AF_PACKET,SOCK_DGRAM", 17).and(1, TYPE_MASK, SOCK_DGRAM),
        Rule::int(0, "AF_PACKET,SOCK_PACKET", 17).and(1, TYPE_MASK, SOCK_PACKET),
    ];
    // The families that most programs use have the first rules.
    let (unix, families) = FAMILIES.split_at(1);
    let (inet, others) = families.split_at(2);
    let others = ints(0, others).map(|rule| match rule.class {
        "AF_NETLINK" => Rule { class: "AF_NETLINK,other", ..rule },
        "AF_PACKET" => Rule { class: "AF_PACKET,other", ..rule },
        _ => rule,
    });
    let rules = ints(0, unix).chain(refined).chain(ints(0, inet)).chain(netlink).chain(packet).chain(others);
    rules.chain([Rule::rest(OTHER)]).collect()
}

pub(super) fn socketpair() -> Vec<Rule> {
    let rules = ints(0, &[("AF_UNIX", 1), ("AF_TIPC", 30), ("AF_INET", 2), ("AF_INET6", 10)]);
    rules.chain([Rule::rest(OTHER)]).collect()
}

/// Calls of `socketcall` by number: `include/uapi/linux/net.h`. That of `socket` has a class for each family.
const SOCKET_CALLS: Values = &[
    ("SYS_BIND", 2),
    ("SYS_CONNECT", 3),
    ("SYS_LISTEN", 4),
    ("SYS_ACCEPT", 5),
    ("SYS_GETSOCKNAME", 6),
    ("SYS_GETPEERNAME", 7),
    ("SYS_SOCKETPAIR", 8),
    ("SYS_SEND", 9),
    ("SYS_RECV", 10),
    ("SYS_SENDTO", 11),
    ("SYS_RECVFROM", 12),
    ("SYS_SHUTDOWN", 13),
    ("SYS_SETSOCKOPT", 14),
    ("SYS_GETSOCKOPT", 15),
    ("SYS_SENDMSG", 16),
    ("SYS_RECVMSG", 17),
    ("SYS_ACCEPT4", 18),
    ("SYS_RECVMMSG", 19),
    ("SYS_SENDMMSG", 20),
];

pub(super) fn socketcall() -> Vec<Rule> {
    let families = FAMILIES.iter().map(|&(family, value)| {
        let class: &'static str = format!("SYS_SOCKET,{family}").leak();
        Rule::int(0, class, 1).and(1, u32::MAX, value)
    });
    let unreadable = Rule { is_unreadable: true, ..Rule::int(0, "SYS_SOCKET,unreadable", 1) };
    let rules = families.chain([unreadable, Rule::int(0, "SYS_SOCKET,other", 1)]).chain(ints(0, SOCKET_CALLS));
    rules.chain([Rule::rest(OTHER)]).collect()
}
