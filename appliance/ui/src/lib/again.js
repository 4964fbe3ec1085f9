// A page of which a part did not arrive asks for itself again, later each time. Browsers drop what is under way when the
// network changes (another Wi-Fi, a new address) and never ask again by themselves: the page would stay empty.
// It stands in each page, not in a file of its own, which could be what is missing.
(function () {
  var KEY = 'asked-again', missing = false, tries = 0;
  try { tries = Number(sessionStorage.getItem(KEY)) || 0; } catch (e) { /* a browser without storage asks each second */ }
  function again() {
    // 1, 2, 4 … 32 seconds, and a class does not come all at once.
    var wait = 1000 * Math.pow(2, Math.min(tries, 5)) * (0.75 + Math.random() / 2);
    tries += 1;
    try { sessionStorage.setItem(KEY, String(tries)); } catch (e) { /* as above */ }
    setTimeout(function () {
      fetch(location.pathname, { cache: 'no-store' }).then(function (page) { if (page.ok) location.reload(); else again(); }, again);
    }, wait);
  }
  function look(event) {
    var part = event.target;
    if (missing || !(part instanceof HTMLScriptElement || part instanceof HTMLLinkElement)) return;
    missing = true;
    again();
  }
  addEventListener('error', look, true);
  addEventListener('load', function () {
    // What is fetched later is the page's own affair: it is in use.
    removeEventListener('error', look, true);
    try { if (!missing) sessionStorage.removeItem(KEY); } catch (e) { /* as above */ }
  });
})();
