# Runs in Debian with lintian. What xtask reads begins with "@".
exec 2>&1
for package in old new; do
    if lintian --allow-root --fail-on error,warning --tag-display-limit 0 /packages/$package.deb; then
        echo "@pass lintian has no error and no warning about $package.deb"
    else
        echo "@fail lintian complains about $package.deb"
    fi
done
echo "@end"
