"""Tells how Django sees a request. SETTINGS is a JSON object of settings."""
import json
import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import re_path

chosen = json.loads(os.environ["SETTINGS"])
settings.configure(ROOT_URLCONF=__name__, SECRET_KEY=os.urandom(32).hex(), **chosen)


def seen(request):
    return JsonResponse({"url": request.build_absolute_uri(), "client": request.META["REMOTE_ADDR"]})


urlpatterns = [re_path("", seen)]
application = get_wsgi_application()
