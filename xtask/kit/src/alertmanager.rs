//! Debian's Alertmanager.

/// A script that runs Alertmanager with these arguments, in a separate mount namespace.
///
/// Debian's Alertmanager does not start without templates. They are in a part of the package that is not unpacked.
/// Empty templates are sufficient.
pub const SCRIPT: &str = "mount -t tmpfs none /usr/share && mkdir -p /usr/share/prometheus/alertmanager \
    && cd /usr/share/prometheus/alertmanager && touch default.tmpl email.tmpl && exec prometheus-alertmanager \"$@\"";
