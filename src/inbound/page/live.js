// Puts what /live tells in place of what is shown, and leaves alone what somebody is doing: the focus, an
// open table, a scrolled one, a selection, a button that is held down. Without this the page is as it was
// when it was loaded, and everything on it works.
(() => {
  'use strict';
  const region = document.getElementById('live');
  const pulse = document.getElementById('pulse');
  if (!region || !pulse || !window.EventSource) return;

  const RETRY_MS = 5000;
  let next = null;
  let isHeld = false;

  const say = (word) => {
    if (pulse.textContent !== word) pulse.textContent = word;
    pulse.className = word;
    pulse.hidden = false;
  };

  const isSelecting = () => {
    const selection = document.getSelection();
    return selection && !selection.isCollapsed && region.contains(selection.anchorNode);
  };

  const put = () => {
    if (next === null || isHeld || isSelecting()) return;
    const html = next;
    next = null;
    const active = document.activeElement;
    const focused = region.contains(active) ? active.id || active.getAttribute('href') : null;
    const open = [...region.querySelectorAll('details[open]')].map((details) => details.id);
    const scrolled = [...region.querySelectorAll('.scroll')].map((box) => [box.id, box.scrollLeft, box.scrollTop]);
    region.innerHTML = html;
    for (const id of open) {
      const details = document.getElementById(id);
      if (details) details.open = true;
    }
    for (const [id, left, top] of scrolled) {
      const box = document.getElementById(id);
      if (box) box.scrollTo(left, top);
    }
    if (focused) {
      const same = document.getElementById(focused) || region.querySelector(`[href="${CSS.escape(focused)}"]`);
      if (same) same.focus({ preventScroll: true });
    }
  };

  document.addEventListener('pointerdown', () => { isHeld = true; });
  for (const end of ['pointerup', 'pointercancel']) {
    // The click comes after it.
    document.addEventListener(end, () => { isHeld = false; setTimeout(put, 0); });
  }
  document.addEventListener('selectionchange', put);

  // Whoever is not logged in any more is led to the form.
  const lookAgain = async () => {
    try {
      const answer = await fetch(location.href, { redirect: 'manual' });
      if (answer.type === 'opaqueredirect') return location.reload();
    } catch { /* it is not there; it may come back */ }
    setTimeout(listen, RETRY_MS);
  };

  const listen = () => {
    const source = new EventSource(region.dataset.live);
    source.addEventListener('open', () => say('live'));
    source.addEventListener('page', (event) => { next = event.data; say('live'); put(); });
    source.addEventListener('error', () => {
      say('reconnecting');
      if (source.readyState === EventSource.CLOSED) { source.close(); lookAgain(); }
    });
    addEventListener('pagehide', () => source.close(), { once: true });
  };
  addEventListener('pageshow', (event) => { if (event.persisted) listen(); });
  listen();
})();
