// A page of which a part did not arrive asks for itself again, later each time. Browsers drop what is under way when the
// network changes (another Wi-Fi, a new address) and never ask again by themselves: the page would stay empty.
// It stands in each page, not in a file of its own, which could be what is missing.
(function () {
  var missing = false;
  function again(wait) {
    setTimeout(function () {
      fetch(location.pathname, { cache: 'no-store' }).then(
        function () { location.reload(); },
        function () { again(Math.min(wait * 2, 30000)); }
      );
    }, wait);
  }
  function look(event) {
    var part = event.target;
    if (missing || !(part instanceof HTMLScriptElement || part instanceof HTMLLinkElement)) return;
    missing = true;
    again(1000);
  }
  addEventListener('error', look, true);
  // What is fetched later is the page's own affair: it is in use.
  addEventListener('load', function () { removeEventListener('error', look, true); });
})();
