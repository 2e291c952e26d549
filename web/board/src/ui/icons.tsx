import type { ReactNode } from "react";

interface IconProps {
  readonly size?: number;
}

/** Icons of one hand: 16 by 16, lines of 1.5, in the colour of the text. They say nothing that words do not say. */
function Icon({ size = 16, children }: IconProps & { readonly children: ReactNode }) {
  return (
    <svg
      aria-hidden="true"
      fill="none"
      height={size}
      stroke="currentColor"
      strokeLinecap="round"
      strokeLinejoin="round"
      strokeWidth="1.5"
      viewBox="0 0 16 16"
      width={size}
    >
      {children}
    </svg>
  );
}

export const StartIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="M4.75 3.2v9.6L12.5 8z" />
  </Icon>
);
export const StopIcon = (props: IconProps) => (
  <Icon {...props}>
    <rect height="8" rx="1" width="8" x="4" y="4" />
  </Icon>
);
export const RestartIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="M13 8a5 5 0 1 1-1.6-3.66L13 5.75M13 2.5v3.25H9.75" />
  </Icon>
);
export const RefreshIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="M1.5 8S3.75 3.75 8 3.75 14.5 8 14.5 8 12.25 12.25 8 12.25 1.5 8 1.5 8Z" />
    <circle cx="8" cy="8" r="1.75" />
  </Icon>
);
export const SearchIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="M11.5 11.5 14 14M12.5 7.25a5.25 5.25 0 1 1-10.5 0 5.25 5.25 0 0 1 10.5 0Z" />
  </Icon>
);
export const CloseIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="m4 4 8 8m0-8-8 8" />
  </Icon>
);
export const ChevronIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="m6 3.5 4.5 4.5L6 12.5" />
  </Icon>
);
export const KeyboardIcon = (props: IconProps) => (
  <Icon {...props}>
    <rect height="8.5" rx="1.5" width="13" x="1.5" y="3.75" />
    <path d="M4.5 6.75h.01M7 6.75h.01M9.5 6.75h.01M12 6.75h.01M5 9.5h6" />
  </Icon>
);
export const SunIcon = (props: IconProps) => (
  <Icon {...props}>
    <circle cx="8" cy="8" r="2.75" />
    <path d="M8 1.5v1M8 13.5v1M1.5 8h1M13.5 8h1M3.4 3.4l.7.7M11.9 11.9l.7.7M12.6 3.4l-.7.7M4.1 11.9l-.7.7" />
  </Icon>
);
export const MoonIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="M13.25 9.6A5.75 5.75 0 1 1 6.4 2.75a4.6 4.6 0 0 0 6.85 6.85Z" />
  </Icon>
);
export const SystemIcon = (props: IconProps) => (
  <Icon {...props}>
    <circle cx="8" cy="8" r="5.75" />
    <path d="M8 2.25v11.5A5.75 5.75 0 0 0 8 2.25Z" fill="currentColor" stroke="none" />
  </Icon>
);
export const SignOutIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="M6.5 2.75h-3v10.5h3M10 5l3 3-3 3M13 8H6.5" />
  </Icon>
);
export const WarningIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="M8 2.25 14.25 13H1.75zM8 6.5v3M8 11.25h.01" />
  </Icon>
);
export const CheckIcon = (props: IconProps) => (
  <Icon {...props}>
    <path d="m3 8.5 3.25 3.25L13 4.75" />
  </Icon>
);

/** The board's own mark: three servers, the middle one telling something. */
export function Mark({ size = 20 }: { readonly size?: number }) {
  return (
    <svg aria-hidden="true" fill="none" height={size} viewBox="0 0 20 20" width={size}>
      <rect fill="currentColor" height="3" opacity="0.35" rx="1.5" width="16" x="2" y="3.5" />
      <rect fill="currentColor" height="3" rx="1.5" width="10" x="2" y="8.5" />
      <circle cx="16.5" cy="10" fill="var(--accent)" r="2" />
      <rect fill="currentColor" height="3" opacity="0.35" rx="1.5" width="16" x="2" y="13.5" />
    </svg>
  );
}
