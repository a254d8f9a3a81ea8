-- After `epoch.lua`: nothing but that.
return news
