import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

settings.configure(
    ALLOWED_HOSTS=["localhost", "127.0.0.1"],
    ROOT_URLCONF=__name__,
    SECRET_KEY=os.urandom(32).hex(),
)


@csrf_exempt
@require_POST
def webhook(request):
    print("received", request.body.decode(), flush=True)
    return JsonResponse({"received": True})


urlpatterns = [path("webhook", webhook)]
application = get_wsgi_application()
