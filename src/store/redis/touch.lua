-- Runs `epoch.lua` alone and returns the epoch if it has changed.
return news
