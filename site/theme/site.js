// A region that scrolls can be reached with the keyboard.
(() => {
    for (const region of document.querySelectorAll("main .table-wrapper, main pre > code")) {
        if (region.scrollWidth > region.clientWidth) {
            region.tabIndex = 0;
        }
    }
})();

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
            diagram.tabIndex = 0;
            diagram.textContent = code.textContent;
            code.closest("pre").replaceWith(diagram);
        }
        const themeVariables = isDark ? { edgeLabelBackground: "#161923" } : {};
        window.mermaid.initialize({ startOnLoad: false, theme: isDark ? "dark" : "default", themeVariables });
        window.mermaid.run();
    };
    document.body.append(script);
})();
