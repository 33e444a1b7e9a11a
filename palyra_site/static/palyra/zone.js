// The server shows times in the zone this names. The page to sign in on has it too, so that the first
// one after it is right from the start.
"use strict";

(() => {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone) {
    document.cookie = `palyra_zone=${zone}; path=/; max-age=31536000; samesite=lax`;
  }
})();
