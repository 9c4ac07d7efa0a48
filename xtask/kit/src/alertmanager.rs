//! Debian's Alertmanager.

/// A script that runs it with these arguments, in a mount namespace of its own.
///
/// Debian's does not start without templates, which are in a part of the package that is not unpacked. They
/// may be empty.
pub const SCRIPT: &str = "mount -t tmpfs none /usr/share && mkdir -p /usr/share/prometheus/alertmanager \
    && cd /usr/share/prometheus/alertmanager && touch default.tmpl email.tmpl && exec prometheus-alertmanager \"$@\"";
