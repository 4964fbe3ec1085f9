/** The pages of one browser that would share as the same source (a tab can be doubled): the one that began last shares. */

export class Tabs {
  private readonly channel: BroadcastChannel | null;

  /** `taken` is called when another page begins to share. */
  constructor(source: string, taken: () => void) {
    this.channel = 'BroadcastChannel' in globalThis ? new BroadcastChannel(`classroom.share.${source}`) : null;
    if (this.channel) this.channel.onmessage = taken;
  }

  /** This page begins to share. */
  claim(): void {
    this.channel?.postMessage(null);
  }

  close(): void {
    this.channel?.close();
  }
}
