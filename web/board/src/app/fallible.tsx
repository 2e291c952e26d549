import { Component, type ReactNode } from "react";

/** A fault of a page takes that page, and not the whole board, which still knows the way to the others. */
export class Fallible extends Component<{ readonly children: ReactNode }, { readonly broken: boolean }> {
  override state = { broken: false };

  static getDerivedStateFromError() {
    return { broken: true };
  }

  override render() {
    if (!this.state.broken) return this.props.children;
    return (
      <section className="empty" role="alert">
        <h1 className="headline">This page broke.</h1>
        <p className="lede">The fault is the board’s own, and says nothing about your servers.</p>
        <button className="button" onClick={() => location.reload()} type="button">
          Load it again
        </button>
      </section>
    );
  }
}
