// Draws the Mermaid diagrams of a page, if the site has Mermaid (`bash site/build.sh full`); without it their text stays.
(() => {
    const blocks = document.querySelectorAll("code.language-mermaid");
    if (blocks.length === 0) {
        return;
    }
    const isDark = ["navy", "coal", "ayu"].some((theme) => document.documentElement.classList.contains(theme));
    const script = document.createElement("script");
    script.src = `${path_to_root}mermaid.min.js`;
    script.onload = () => {
        for (const code of blocks) {
            const diagram = document.createElement("div");
            diagram.className = "mermaid";
            diagram.textContent = code.textContent;
            code.closest("pre").replaceWith(diagram);
        }
        window.mermaid.initialize({ startOnLoad: false, theme: isDark ? "dark" : "default" });
        window.mermaid.run();
    };
    document.body.append(script);
})();
